"""unix(7) sockets: pairs and connections inside the pod, listeners, bound and unbound ones.

Of each: its address and where the file of that is now, options and filter, shut-down halves, whom it
tells as its peer, and what waits to be read, message by message, with senders and descriptors, looked
at without taking it. A peer that was closed stays closed. A datagram socket that talks to one outside
(as syslog's clients do) is connected again.

Not carried, and refused: a stream to a process outside the pod, a connection not accepted yet,
out-of-band data, a filter of eBPF, an error not read yet on a socket with messages, peers and senders
of another user; in a migration within one host, connections to an abstract address.
"""

from __future__ import annotations

from .capture import capture, claims, find_files_under_way
from .restore import restore
from .state import NAME, State

__all__ = ["NAME", "State", "capture", "claims", "find_files_under_way", "restore"]
