"""What packet mode has to tell of a terminal (TIOCPKT): a byte, read from the master before all else.

It is told once, and has no other way in than what it tells of: that is done once more, so that
nothing but the byte comes of it. Not told again: that something was flushed where more waits by now;
flow control while the output is stopped by ^S; settings of EXTPROC.
"""

from __future__ import annotations

import os
import select
import termios

from .ends import BY_CALL, BY_CHARACTER, RUNNING, Termios, events, get_termios, set_termios

FLUSHED_READ, FLUSHED_WRITE, STOPPED, STARTED, NO_STOP, DO_STOP = 1, 2, 4, 8, 16, 32


def take(master: int) -> int:
    """The byte; the master is in packet mode. 0: there is none."""
    if not events(master, select.POLLPRI) & select.POLLPRI:
        return 0
    return os.read(master, 1)[0]


def tell(slave: int, told: int, *, typed: bool, written: bool, stopped: str) -> None:
    """Have that told, of a terminal that is in packet mode and as it was apart from that.

    `typed`, `written`: does something wait on either side?
    """
    if told & FLUSHED_READ and not typed:
        termios.tcflush(slave, termios.TCIFLUSH)
    if told & FLUSHED_WRITE and not written:
        termios.tcflush(slave, termios.TCOFLUSH)
    if stopped == BY_CHARACTER:
        return
    if told & (NO_STOP | DO_STOP):
        _change_flow_control(slave)
    if told & STOPPED and stopped == BY_CALL:
        termios.tcflow(slave, termios.TCOON)
        termios.tcflow(slave, termios.TCOOFF)
    if told & STARTED and stopped == RUNNING:
        termios.tcflow(slave, termios.TCOOFF)
        termios.tcflow(slave, termios.TCOON)


def _change_flow_control(slave: int) -> None:
    """To what it is not, and back: it is told what it is then."""
    before = get_termios(slave)
    settings = Termios.of(before)
    cc = bytearray(settings.cc)
    cc[termios.VSTOP], cc[termios.VSTART] = 0x13, 0x11
    usual = settings.but(iflag=settings.iflag | termios.IXON, cc=bytes(cc))
    if settings == usual:
        cc[termios.VSTOP] = 0
        usual = settings.but(cc=bytes(cc))
    set_termios(slave, bytes(usual))
    set_termios(slave, before)
