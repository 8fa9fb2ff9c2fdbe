"""A call that blocks, awaited: in a thread of its own, which has ended when the call has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TypeVar

from ..errors import start_thread

T = TypeVar("T")
GivesUp = Callable[[], bool]


async def call(work: Callable[[GivesUp], T], given_up: threading.Event | None = None) -> T:
    """What `work` returns or raises. When we are cancelled it is told so, and its end awaited."""
    loop = asyncio.get_running_loop()
    asked = given_up or threading.Event()
    ended: asyncio.Future[None] = loop.create_future()
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work(asked.is_set))
        except BaseException as error:
            errors.append(error)
        finally:
            loop.call_soon_threadsafe(ended.set_result, None)

    thread = threading.Thread(target=run, name="zaptrace.aio", daemon=True)
    start_thread(thread)
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError as error:
            cancelled = error
            asked.set()
    thread.join()
    if cancelled is not None:
        raise cancelled
    if errors:
        raise errors[0]
    return result[0]


async def each(make: Callable[[GivesUp], Generator[T]]) -> AsyncIterator[T]:
    """What a generator that blocks gives, one after the other; it is closed when we are."""
    given_up = threading.Event()
    pieces = make(given_up.is_set)
    try:
        while found := await call(lambda _: _next(pieces), given_up):
            yield found[0]
    finally:
        pieces.close()


def _next(pieces: Iterator[T]) -> list[T]:
    for piece in pieces:
        return [piece]
    return []
