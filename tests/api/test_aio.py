"""zaptrace.aio: the same for asyncio, given up when it is cancelled, and no thread left behind."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from pathlib import Path

import pytest

import zaptrace
from zaptrace import aio
from zaptrace.errors import PodError


def run(main) -> None:
    """To its end; then there is no thread that was not there before."""
    before = set(threading.enumerate())
    asyncio.run(main)
    assert set(threading.enumerate()) == before


def test_a_pod_from_its_start_to_its_end(home: Path):
    async def main() -> None:
        heard: list[aio.Progress] = []
        pod = await aio.launch(["sh", "-c", "echo one; exec sleep 600"], name="exp")
        assert await aio.pods() == [pod] == [await aio.connect("exp")]
        assert await pod.state() == "running" and repr(pod) == "<Pod 'exp' running>"
        assert [one async for one in _first(pod)] == [b"one\n"]
        assert len(await pod.processes()) == 1
        await pod.freeze()
        await pod.thaw()
        assert await aio.check(pod)
        report = await pod.checkpoint(home / "exp.zap", stop=True, progress=heard.append)
        await asyncio.sleep(0)
        assert report.processes == 1 and heard[-1].done == heard[-1].total
        assert (await pod.wait()).how == "checkpointed"
        assert (await aio.show(home / "exp.zap")).pod == "exp"
        async with await aio.restore(home / "exp.zap", on_exit="stop") as pod:
            await pod.signal(signal.SIGTERM)
            assert (await pod.wait(20)).returncode == -15
        with pytest.raises(PodError):
            await aio.connect("exp")

    run(main())


async def _first(pod: aio.Pod):
    """Up to the end of a line: then nobody listens any more."""
    said = b""
    pieces = pod.follow()
    async for piece in pieces:
        said += piece
        if said.endswith(b"\n"):
            yield said
            break
    await pieces.aclose()


def test_many_at_once(home: Path):
    async def main() -> None:
        pods = await asyncio.gather(*(aio.launch(["sh", "-c", f"exit {n}"]) for n in range(3)))
        ended = await asyncio.gather(*(pod.wait(20) for pod in pods))
        assert [one.returncode for one in ended] == [0, 1, 2]

    run(main())


def test_what_waits_can_be_cancelled(home: Path):
    async def main() -> None:
        async with await aio.launch(["sleep", "600"], on_exit="stop") as pod:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pod.wait(), 0.05)
            with pytest.raises(TimeoutError):
                await pod.wait(0.05)
            task = asyncio.ensure_future(_to_the_end(pod))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pod.state() == "running"

    run(main())


async def _to_the_end(pod: aio.Pod) -> None:
    async for _ in pod.follow():
        pass


def test_a_checkpoint_that_is_cancelled_leaves_the_pod_running(home: Path):
    code = (
        "x = bytearray(b'x' * (64 << 20)); print(len(x), flush=True); import time; time.sleep(600)"
    )

    async def main() -> None:
        async with await aio.launch([sys.executable, "-c", code], on_exit="stop") as pod:
            assert [one async for one in _first(pod)]
            begun = asyncio.Event()
            task = asyncio.ensure_future(
                pod.checkpoint(home / "x.zap", codec="zstd", progress=lambda _: begun.set())
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pod.state() == "running"
            whole = home / "x.zap"
            assert not whole.exists() or zaptrace.show(whole).processes, "too late, or not there"

    run(main())
