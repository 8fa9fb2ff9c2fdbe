"""How much may come from outside: the one table of limits on images, peers and clients.

What a value makes of itself in memory is bounded by how many values there are, not by its bytes:
48 MiB of empty lists are 118 kB of zstd and 6 GB of Python. So plain data (plain.py) is read under a
`Budget`, and looked through before anything is made of it. A value costs about 85 bytes at most,
beside the bytes of strings, so that no budget here is over 256 MiB.

What large pods make, counted (tests/test_limits.py counts again):

    1 mapping of a process        31 values      60,000 of them: 1,860,000
    1 open file, with its entry   62 values      10,000 of them:   620,000
    1 small process of a thread   1,100 values    1,000 of them: 1,100,000
    1 part in the manifest        10 values      20,000 of them:   200,000
"""

from __future__ import annotations

from .record import Record

MIB = 1 << 20


class Budget(Record):
    """Of one piece of plain data, or one stream of them."""

    bytes: int
    values: int
    """Values and keys; a long string counts one more for each 64 bytes."""
    depth: int
    """Lists and maps within each other; at most 32."""


UNBOUNDED = Budget(bytes=1 << 62, values=1 << 62, depth=32)
"""For what is our own."""

# Images

STATES = Budget(bytes=64 * MIB, values=2_800_000, depth=12)
"""The States of all rooms."""
RECORDS = 1000
"""Pieces of plain data one after the other; an image has one for each room."""
MANIFEST = Budget(bytes=4 * MIB, values=300_000, depth=8)

# Between hosts

HEAD = Budget(bytes=5 * MIB, values=320_000, depth=12)
"""The map of a message: a manifest is in one, and the list of a big pod's files."""
DATA = MIB
"""Most bytes of a data frame."""
WINDOW = 16 * MIB
"""Bytes that may be on the way to us, in one conversation."""
CONVERSATIONS = 64
"""At a time, ..."""
CONVERSATIONS_OF_ONE = 16
"""... and with holders of one key."""
CONNECTIONS = 256
"""TCP connections to a server, of strangers too; half of the descriptors we may have if that is less."""
UNSENT = 1000
"""Messages that wait for a peer or a client that does not read; a reply more, and it counts as gone."""
UNREAD = 16
"""Messages of one peer's connection that we have not looked at yet; the others wait on its side."""

# Between a supervisor and its clients

CONTROL = Budget(bytes=8 * MIB, values=200_000, depth=12)
"""One message on a control socket."""
CLIENTS = 256
"""Of one pod; half of the descriptors we may have if that is less."""
REQUESTS_OF_ONE = 64
"""That a client has asked for and that are not answered yet."""
STREAM = 256 << 10
"""Bytes of an attached stream that may be unacknowledged."""
RECORD = 8 * MIB
"""Bytes of a file in which a supervisor or a host server has noted something."""
ERROR_TEXT = 4096
"""Characters of one field of an error that somebody else describes."""

SITES = Budget(bytes=4 * MIB, values=300_000, depth=3)
"""Of one file (linux/sites/): libraries have some hundred."""
