"""What a pod is given as its standard input, output and error."""

from __future__ import annotations

import os
import stat

from ..record import Record

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..view.scrollback import Scrollback


class Stdio(Record):
    """What becomes 0, 1 and 2 of a pod's first process; -1 stays closed.

    With `tty` all three are the slave of a pseudoterminal, which becomes its controlling terminal;
    `master` is the other end, for a checkpoint to find what is pending in it. With `logs` a regular
    file is taken for output's, too: a job's belongs to its batch system, which gives it another one
    where the job goes on.
    """

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    tty: bool = False
    master: int | None = None
    scrollback: Scrollback | None = None
    """What a restored pod wrote to its own terminal before."""
    logs: bool = False

    def named(self) -> dict[str, int]:
        return {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}

    def identify(self) -> dict[tuple[int, int], str]:
        """(st_dev, st_ino) -> slot, of what was given and is not found again by its path."""
        found: dict[tuple[int, int], str] = {}
        for slot, fd in self.named().items():
            if fd < 0 or self.tty:
                continue
            status = os.fstat(fd)
            kind = stat.S_IFMT(status.st_mode)
            log = self.logs and kind == stat.S_IFREG and slot != "stdin"
            if (kind in (stat.S_IFREG, stat.S_IFDIR) and not log) or _is_well_known(status):
                continue
            found.setdefault((status.st_dev, status.st_ino), slot)
        return found


def _is_well_known(status: os.stat_result) -> bool:
    """/dev/null and its like are the same on every host."""
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == 1
