"""Identifier types. `V…` is a number as the pod sees it, `R…` as this host's kernel does."""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from typing import NewType
else:

    def NewType(name, base):
        """At run time an id is its number."""
        return base


Vpid = NewType("Vpid", int)
"""A process id, thread id, process-group id or session id inside the pod (one number space)."""

Rpid = NewType("Rpid", int)
"""The same kind of id on this host."""

FileId = NewType("FileId", int)
"""An open file description; unique within an image."""

SUPERVISOR = Vpid(1)
"""What the pod sees as the parent of its orphans, as init would be."""
