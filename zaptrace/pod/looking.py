"""Whether calls of a pod are looked at without a stop (csrc/pod/looker.h). This one place decides.

They are where the kernel can do it, which is asked; a container's profile, or somebody's listener outside
of us, may deny it all the same: a launch finds that out, and then all that is to be looked at stops.
ZAPTRACE_LOOK=stop, for tests and comparisons, has it so from the start.

ZAPTRACE_PTRACE=when-needed has threads of a pod that never moved attached only while something needs
it (csrc/loop/attach.h), where the host allows that; without it ("always") they are all the time.
"""

from __future__ import annotations

import os
import threading

from ..errors import HostError, start_thread
from ..linux.native import Handle, lib


def begin(handle: Handle, name: str) -> threading.Thread | None:
    """On the tracer's thread. None: everything stops."""
    if os.environ.get("ZAPTRACE_LOOK") == "stop" or not lib.zt_loop_look_begin(handle):
        return None
    looker = threading.Thread(
        target=lib.zt_loop_look, args=(handle,), name=f"looker of {name}", daemon=True
    )
    try:
        start_thread(looker)
    except HostError:  # the pod does without
        lib.zt_loop_look_end(handle)
        return None
    if os.environ.get("ZAPTRACE_PTRACE") == "when-needed":
        lib.zt_loop_detach(handle)
    return looker


def end(handle: Handle, looker: threading.Thread | None) -> None:
    """Nothing of the pod is left."""
    if looker:
        lib.zt_loop_look_end(handle)
        looker.join()
