"""The systems and the experiments that there are: a file each in its folder."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TypeVar

from .experiment import Experiment
from .system import System

T = TypeVar("T")


def _of(folder: str, kind: type[T]) -> dict[str, T]:
    """An instance of each class that has a name."""
    made: dict[str, T] = {}
    for path in sorted((Path(__file__).parent / folder).glob("[!_]*.py")):
        module = importlib.import_module(f"bench.{folder}.{path.stem}")
        for thing in vars(module).values():
            if (
                isinstance(thing, type)
                and issubclass(thing, kind)
                and thing.__module__ == module.__name__
                and thing.name  # type: ignore[attr-defined]
            ):
                made[thing.name] = thing()  # type: ignore[attr-defined]
    return made


def systems() -> dict[str, System]:
    found = _of("systems", System)
    order = {"native": 0, "zaptrace-fresh": 1, "zaptrace-moved": 2}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], 3), item[0])))


def experiments() -> dict[str, Experiment]:
    return _of("experiments", Experiment)


def asked(names: list[str], known: dict[str, T], what: str) -> dict[str, T]:
    """Those on a command line, in its order; SystemExit for one that is unknown."""
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(
            f"bench: no {what} is called {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return {name: known[name] for name in names}
