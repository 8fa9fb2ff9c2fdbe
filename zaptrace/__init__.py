"""zaptrace: run, checkpoint, restore and migrate ordinary Linux processes, as an ordinary user.

    import zaptrace

    pod = zaptrace.launch(["./server"], name="web")     # a supervisor of its own, with a log
    pod.checkpoint("web.zap", stop=True)
    pod = zaptrace.restore("web.zap")
    pod.migrate("tcp://192.0.2.7:7077")
    zaptrace.connect("other").signal(signal.SIGHUP)

What the command line does can be done from here, and a pod made by one is known to the other. A pod
outlives the program that launched it. What goes wrong is a ZaptraceError (see zaptrace.errors); an
argument that cannot be is a TypeError or a ValueError that names it; a wait that is too long is a
TimeoutError. zaptrace.aio has the same names for asyncio.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # as typing's, which takes long to load for a command line that is asked for help
)
if TYPE_CHECKING:
    from typing import Any

    from .api.pod import Pod
    from .api.results import (
        Check,
        Executed,
        ImageInfo,
        MigrationReport,
        Outcome,
        Process,
        Progress,
        Report,
    )
    from .api.verbs import check, connect, current, launch, pods, restore, show
    from .errors import ZaptraceError

__all__ = [
    "Check",
    "Executed",
    "ImageInfo",
    "MigrationReport",
    "Outcome",
    "Pod",
    "Process",
    "Progress",
    "Report",
    "ZaptraceError",
    "check",
    "connect",
    "current",
    "launch",
    "pods",
    "restore",
    "show",
]
__version__ = "0.1.0"

_PLACES = {"Pod": "api.pod", "ZaptraceError": "errors"}
_VERBS = ("check", "connect", "current", "launch", "pods", "restore", "show")


def load_ipython_extension(shell: Any) -> None:
    """%load_ext zaptrace: the magics %checkpoint, %rollback and %branch for the kernel's own pod."""
    from .notebook import load

    load(shell)


def __getattr__(name: str) -> object:
    """What is in __all__, loaded when it is asked for: `import zaptrace` loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    place = _PLACES.get(name) or ("api.verbs" if name in _VERBS else "api.results")
    found: object = getattr(importlib.import_module(f"{__name__}.{place}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
