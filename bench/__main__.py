"""python -m bench [NAME...]: run all measurements, or those named."""

from __future__ import annotations

import argparse
import importlib

NAMES = ("trap_cost", "freeze_time", "checkpoint_speed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=str(NAMES))
    for name in parser.parse_args().names or NAMES:
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
