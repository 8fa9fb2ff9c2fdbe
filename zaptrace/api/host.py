"""What this host can do for pods: each thing tried."""

from __future__ import annotations

import os
from dataclasses import replace

from ..errors import ZaptraceError
from ..linux import abilities as kernel
from ..linux import spare
from ..linux.abilities import Ability
from ..linux.spare import space
from ..supervisor import runtime


def abilities() -> list[Ability]:
    """Everything; well under a second."""
    return [*kernel.probe(), *spare.probe(), _runtime_directory(), _images()]


def _runtime_directory() -> Ability:
    do = "set ZAPTRACE_RUNTIME_DIR to a directory of yours that can be written"
    try:
        place = runtime.root()
    except (ZaptraceError, OSError) as error:
        why = str(error).partition("\n")[0]
        return Ability("runtime directory", False, why, "no pod runs here", do, needed=True)
    costs = "no pod runs here"
    tried = space("runtime directory", place, costs, do, enough=1 << 20, short=costs)
    return replace(tried, needed=True)


def _images() -> Ability:
    do = "go where there is room, or give --to a place that has it"
    costs, short = "images cannot be written here", "only small images can be written here"
    return space("images, here", os.getcwd(), costs, do, enough=64 << 20, short=short)
