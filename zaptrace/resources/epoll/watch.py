"""What an image tells of a file that an epoll instance watches."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import Annotated

from ...shapes import U32, U64, Fd, NamesFile, NamesLivingOrNone, NamesThread, Range

CONDITIONS = 0x0FFFFFFF
"""All but EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT and EPOLLET."""


@dataclass(frozen=True)
class Watch:
    number: Fd
    """The fd number that it was added under."""
    events: U32
    data: U64
    file_id: NamesFile
    vpid: NamesLivingOrNone
    """A process that has the epoll instance and the file; 0 if none has both."""
    epoll_fd: Fd
    file_fd: Fd
    """Their numbers there; `file_fd` is not `number` where the program closed that one."""
    taken: bool
    """`number` is another file there now, ..."""
    taken_cloexec: bool
    """... with this flag."""
    ready: U32
    """What poll(2) said of the file. Only of this may the program have been told already."""
    told: Annotated[int, Range(0, 1 << 31)]
    """The next epoll_wait(2) tells of it, as the first (1), the second ...; 0: it does not."""
    askers: list[NamesThread] = field(hash=False)
    """Of a signalfd: threads of the process for which a signal waits that no other thread sees."""

    @property
    def edge(self) -> bool:
        """Told of once."""
        return bool(self.events & select.EPOLLET)

    @property
    def oneshot(self) -> bool:
        return bool(self.events & select.EPOLLONESHOT)

    @property
    def spent(self) -> bool:
        """Told of once, and then never until it is armed again."""
        return self.oneshot and not self.events & CONDITIONS

    @property
    def here(self) -> bool:
        """The process has it under its number."""
        return bool(self.vpid) and self.file_fd == self.number
