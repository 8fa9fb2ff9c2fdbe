"""What a running pod has to stand still for, because one of its threads has asked."""

from __future__ import annotations

from ..linux.native import Handle, lib
from ..view.kept import Kept


def stand_still(pod: Handle, kept: Kept | None) -> None:
    if lib.zt_pod_wants_senders(pod):
        from .senders import show_senders  # few pods have any

        show_senders(pod)
    rtid = lib.zt_pod_wants_kept(pod)
    if rtid and kept is not None:
        from .keeping import accept_kept

        accept_kept(pod, kept, rtid)
