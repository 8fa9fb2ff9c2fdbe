"""The line to a guest, with a guest that is a shell of this host."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from bench.guests.image import MICRO, MINIMAL, SERVER, Image, command_line, programs_in_ram
from bench.guests.line import Line, connected
from bench.system import LateError, RefusedError
from bench.tools import BUILT

GUEST = """
echo @up
while read -r command; do
    sh -c "$command" </dev/null 2>&1
    echo "
@end $?"
done
"""
"""As bench/guests/init.sh answers."""


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen(["sh", "-c", GUEST], stdin=theirs, stdout=theirs) as guest:
        theirs.close()
        made = Line(ours)
        made.until("@up\n", 60.0)
        yield made
        made.close()
        guest.wait(60.0)


def test_what_a_command_writes_comes_back(line: Line):
    assert line.run("printf 'a\\nb\\n'; echo \"it's\" '$HOME'", 60.0) == "a\nb\nit's $HOME\n"
    assert line.run("true", 60.0) == ""
    with pytest.raises(RefusedError, match="status 3: no"):
        line.run("echo no; exit 3", 60.0)


def test_a_guest_that_is_still_at_work_is_asked_nothing(line: Line):
    """What it said then would be taken for the answer to what is asked now."""
    with pytest.raises(LateError):
        line.run("true", 0.0)
    with pytest.raises(RefusedError, match="still at what it was asked before"):
        line.run("true", 60.0)


def test_a_guest_that_says_nothing_is_late_and_one_that_ends_is_gone(line: Line):
    with pytest.raises(LateError, match="in 0 s"):
        line.until("never", 0.01)
    with pytest.raises(RefusedError, match="went away"):
        line._socket.shutdown(socket.SHUT_WR)  # and so it ends
        line.until("never", 60.0)


def test_a_line_is_waited_for_until_somebody_listens(place):
    """It has its name before that."""
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(place / "line"))
        with pytest.raises(LateError, match="refused"):
            connected(place / "line", 0.0)
        timer = threading.Timer(0.05, there.listen)
        timer.start()
        with connected(place / "line", 60.0):
            pass
        timer.join(60.0)


def test_a_line_that_never_comes_is_late(place):
    with pytest.raises(LateError, match="No such file"):
        connected(place / "no", 0.0)


def test_programs_come_after_what_is_in_a_ram_disk(place):
    if not shutil.which("cpio"):
        pytest.skip("cpio is not installed")

    class Made(Image):
        ramdisk = place / "made"

    Made.ramdisk.write_bytes(b"made")
    whole = programs_in_ram(Made("made", (), in_ram=True), place).read_bytes()
    assert whole.startswith(b"made")
    names = subprocess.run(
        ["cpio", "-t", "--quiet"], input=whole[4:], capture_output=True, check=True, timeout=60
    )
    assert {"bench/calls", "bench/loads/common.py"} <= {*names.stdout.decode().split()}
    assert MICRO.place != MINIMAL.place and MICRO.in_ram and not MINIMAL.in_ram


def test_programs_are_elsewhere_in_a_guest():
    assert command_line([f"{BUILT}/calls", "a b"]) == "/bench/calls 'a b'"
    assert MINIMAL.disk != SERVER.disk and not MINIMAL.name.startswith("server")
