"""python -m bench [NAME...]: run all measurements, or those named."""

from __future__ import annotations

import importlib
import sys

from .common import Late, asked

NAMES = (
    "start_cost",
    "trap_cost",
    "freeze_time",
    "checkpoint_speed",
    "rehearsal_cost",
    "many_cost",
)


def main() -> None:
    for name in asked(sys.argv[1:], NAMES):
        try:
            importlib.import_module(f"bench.{name}").main()
        except Late as late:
            raise SystemExit(f"bench: {name}: {late}") from None


if __name__ == "__main__":
    main()
