"""Moving a pod to another host: a hand-over in two phases, after which exactly one copy runs.

    source                                           destination
    ──────                                           ───────────
    running    offer {id, name, facts} ────────────►
               ◄───────────── error, with reasons    OFFERED    check(facts): can it live here?
               ◄─────────────────────────── accept   RECEIVING
    FROZEN     part {n, name} ─────────────────────►            a DirectorySink, below the
               data {n} + bytes ───────────────────►            runtime directory
               end {n} ────────────────────────────►
    SENT       manifest {manifest} ────────────────►            each part's blake3 is compared
               ◄─────────────────────────── staged   STAGED     on disk, synced
               ◄─────────────────── whole {image}    WHOLE      read back, verified, restored;
                                                                not one step run
    COMMITTED  (its copy is killed)
               go {id} ────────────────────────────►            noted: thawing
               ◄───────────────────────────── live   LIVE       thawed; the image is removed
    (ended)

The source alone decides: before it kills its copy the answer to any trouble is to thaw it, from
then on it is to get "go" through. It may come on a new connection: `resolve {id, decision}` is
answered with `live` or `aborted`, as often as it is asked.

    what fails                     source                   destination               runs
    ─────────────────────────────  ───────────────────────  ────────────────────────  ───────────
    anything, before WHOLE is said thaws                    removes copy and image    source
    anything, after, before        thaws, says abort        on abort: removes both;   source
    COMMITTED                                               silence for `doubt`: (*)
    the source dies before         (its pod dies with it)   as above                  none, (*)
    COMMITTED
    connection, after COMMITTED    says go for `retry`      waits, is thawed by it    destination
    destination dies after         says go for `retry`;     restarted in time: makes  destination
    COMMITTED, before LIVE         then an error that       a new copy of the image
                                   names the image          otherwise: (*)            none, (*)
    source dies after COMMITTED    -                        waits `doubt`: (*)        none, (*)
    destination dies while it      as above                 restarted: cannot know    one or none,
    thaws                                                   whether it ran: (*)       (*)

(*) the frozen copy, if any, is removed and the staged image is kept, and named in the log and in
the error: `zaptrace restore` makes the pod of it, once somebody has seen that it runs nowhere else.

What the destination knows is written down (`record`, synced) before it is said or done, so a server
that was killed knows after its restart: nothing noted: remove what came; "whole": nothing ran, a go
may be obeyed; "thawing": perhaps it ran; "live": it did.
"""

from __future__ import annotations

from . import destination, source
from .destination import Check, Copy, Destination, Spawn
from .source import LeavingPod, Progress, Report, WireSink, send

FAULT_POINTS = source.FAULT_POINTS + destination.FAULT_POINTS
"""Every fault point of a migration, in the order in which each side passes its own."""

__all__ = [
    "FAULT_POINTS",
    "Check",
    "Copy",
    "Destination",
    "LeavingPod",
    "Progress",
    "Report",
    "Spawn",
    "WireSink",
    "send",
]
