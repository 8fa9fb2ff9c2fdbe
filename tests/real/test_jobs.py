"""A job: what it goes on from, who may run it, and what its signals and its exit status say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import PATIENCE_S, end_all, eventually
from zaptrace.supervisor import runtime
from zaptrace.supervisor.control import SAVED

COUNTING = """
import os, sys, time
table = open("rows", "a", buffering=1)
count = 0
while not os.path.exists("enough"):
    count += 1
    print(count, file=table)
    time.sleep(0.005)
sys.exit(int(open("enough").read() or 0))
"""


class Desk:
    """A user's directory, with a job in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.shell = Shell(runtime.root(place / "run"), "zaptrace")
        self.images = place / "images"
        self.rows = place / "rows"
        (place / "job.py").write_text(COUNTING)

    @contextlib.contextmanager
    def job(self, *options: str, program: str = "job.py") -> Iterator[subprocess.Popen[str]]:
        argv = ("run", "--images", str(self.images), "--continue", *options)
        command = ("--", "python3", "-u", program)
        with self.shell.start(*argv, *command, cwd=self.place, stdout=subprocess.PIPE) as child:
            yield child

    def counts(self) -> None:
        before = self.size()
        eventually(lambda: self.size() > before, "a row")

    def size(self) -> int:
        return self.rows.stat().st_size if self.rows.exists() else 0

    def save(self, *options: str) -> str:
        """Start, and save; what was said."""
        with self.job(*options) as child:
            self.counts()
            child.terminate()
            _, said = child.communicate(timeout=PATIENCE_S)
            assert child.returncode == SAVED, said
        return said

    def finish(self, *options: str, status: int = 0) -> str:
        """Start, and say that it is enough."""
        with self.job(*options) as child:
            self.counts()
            (self.place / "enough").write_text(str(status))
            _, said = child.communicate(timeout=PATIENCE_S)
            assert child.returncode == (86 if status == SAVED else status), said
        (self.place / "enough").unlink()
        return said

    def numbers(self) -> list[int]:
        return [int(line) for line in self.rows.read_text().split()]

    def made(self) -> list[str]:
        return sorted(path.name for path in self.images.glob("*.zap"))


@pytest.fixture
def desk(place: Path) -> Iterator[Desk]:
    yield (desk := Desk(place))
    end_all(desk.shell.root)


def spoil(image: Path) -> None:
    """A byte of it is another."""
    part = next(image.glob("pages-*"))
    part.chmod(0o600)
    with part.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def test_it_goes_on_from_the_newest_that_is_good(desk: Desk) -> None:
    desk.save()
    desk.save()
    assert desk.made() == ["000001.zap", "000002.zap"]
    spoil(desk.images / "000002.zap")
    said = desk.finish("--truncate-files")
    assert f"goes on from {desk.images}/000001.zap" in said
    assert "passed over: bad image" in said and "000002.zap" in said
    assert desk.numbers() == list(range(1, len(desk.numbers()) + 1))


def test_without_a_good_one_nothing_begins_anew(desk: Desk) -> None:
    desk.save()
    spoil(desk.images / "000001.zap")
    before = desk.rows.read_text()
    with desk.job() as child:
        _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 125
    assert "bad image" in said and "then the job begins anew" in said
    assert desk.rows.read_text() == before


def test_images_by_time_and_how_many(desk: Desk) -> None:
    """No client is there to have them made."""
    name = json.loads(
        desk.shell(
            *("run", "-d", "--json", "--images", str(desk.images), "--every", "1", "--keep", "2"),
            *("--", "python3", str(desk.place / "job.py")),
            cwd=desk.place,
        ).stdout
    )["name"]
    eventually(lambda: desk.made()[-1:] >= ["000004.zap"], "the fourth image")
    assert len(desk.made()) in (2, 3)
    (pod,) = json.loads(desk.shell("ps", "--json").stdout)
    assert pod["images"]["directory"] == str(desk.images) and not pod["images"]["trouble"]
    assert desk.shell("signal", name, "KILL").returncode == 0
    eventually(lambda: not runtime.is_running(desk.shell.root / name), "its end")
    assert "goes on from" in desk.finish("--truncate-files")
    assert desk.numbers() == list(range(1, len(desk.numbers()) + 1))


def test_one_runs(desk: Desk) -> None:
    desk.save()
    with desk.job("--name", "first") as child:
        desk.counts()
        again = desk.shell("run", "--images", str(desk.images), "--", "true")
        assert again.returncode == 125
        assert f"the job in {desk.images} runs already" in again.stderr
        assert "pod first on host" in again.stderr
        restored = desk.shell("restore", str(desk.images), "--name", "second", "-d")
        assert restored.returncode == 125 and "runs already" in restored.stderr
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
    assert child.returncode == SAVED
    restored = desk.shell("restore", str(desk.images), "--name", "second", "-d")
    assert restored.returncode == 0, restored.stderr
    assert f"goes on from {desk.images}/000002.zap" in restored.stderr


@pytest.mark.parametrize("status", [0, 1, SAVED])
def test_how_it_ends_says_whether_it_goes_on(desk: Desk, status: int) -> None:
    desk.save()
    said = desk.finish(status=status)
    assert ("it is told as 86" in said) == (status == SAVED)
    assert ("goes on from" in desk.finish("--truncate-files")) == (status != 0)
    assert desk.numbers().count(1) == (2 if status == 0 else 1)


def test_files_that_have_grown_are_named(desk: Desk) -> None:
    desk.save()
    with desk.rows.open("a") as rows:
        rows.write("25 bytes that came later\n")
    grew = f"{desk.rows} grew by 25 bytes since the image was made; "
    checked = desk.shell("check", str(desk.images))
    assert checked.returncode == 0 and grew in checked.stdout
    said = desk.finish()
    assert grew + "left as it is; --truncate-files cuts it back" in said
    assert "25 bytes that came later" in desk.rows.read_text()


def test_what_cannot_be_cut_back_is_no_restore(desk: Desk) -> None:
    """Nothing runs then, and the file is as it was."""
    desk.save()
    with desk.rows.open("a") as rows:
        rows.write("more\n")
    before = desk.rows.read_text()
    desk.rows.chmod(0o444)
    with desk.job("--truncate-files") as child:
        _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 125 and f"cannot cut back {desk.rows}" in said
    assert desk.rows.read_text() == before
    desk.rows.chmod(0o644)
    assert "is cut back" in desk.finish("--truncate-files")
    assert desk.numbers() == list(range(1, len(desk.numbers()) + 1))


def test_an_image_that_cannot_be_made(desk: Desk) -> None:
    """It is said, and the job runs on; when it can be, it is made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connect = f"s = socket.create_connection(('127.0.0.1', {port}))"
        text = f"import os, socket\n{connect}\n{COUNTING}"
        text = text.replace(
            "    count += 1\n", "    count += 1\n    os.path.exists('close') and s.close()\n"
        )
        (desk.place / "job.py").write_text(text)
        with desk.job() as child:
            desk.counts()
            child.terminate()
            assert child.stderr is not None
            said = child.stderr.readline()
            assert "no image of the job could be made, which runs on" in said
            desk.counts()
            (desk.place / "close").touch()
            child.communicate(timeout=PATIENCE_S)
    assert child.returncode == SAVED


FORWARDED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU, signal.SIGRTMIN + 3]

TELLING = """
import os, signal, sys
signals = {int(n) for n in sys.argv[1:]}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while True:
    print(signal.sigwait(signals), flush=True)
"""


def test_other_signals_are_passed_on(desk: Desk) -> None:
    """They ended the client, and the pod ran unseen."""
    argv = ("-c", TELLING, *(str(int(n)) for n in FORWARDED))
    with desk.shell.start("run", "--name", "web", "--", "python3", *argv) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for number in FORWARDED:
            child.send_signal(number)
            assert child.stdout.readline() == f"{int(number)}\n"
        pid = runtime.supervisor_pid(desk.shell.root / "web")
        assert pid is not None
        for number in FORWARDED:  # whoever tells all processes tells the supervisor, too
            os.kill(pid, number)
        child.send_signal(FORWARDED[0])
        assert child.stdout.readline() == f"{int(FORWARDED[0])}\n"


PLAIN = """
import ctypes, os, select, signal, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
got = []
signal.signal(signal.SIGTERM, lambda n, _: got.append(n))
poll = libc.epoll_create1(0)
print(os.getpid(), flush=True)
events = ctypes.create_string_buffer(64)
waited = libc.epoll_wait(poll, events, 1, {wait})       # python's own would hide an EINTR
print("waited", waited, ctypes.get_errno() if waited < 0 else 0, got, flush=True)
subprocess.run(["kill", "-TERM", str(os.getpid())])      # by one of the pod: that is for it
print("own", got, flush=True)
"""


def test_what_means_the_job_does_not_come_to_its_programs(desk: Desk) -> None:
    """Sent to them alone, from outside, it saves the job; nothing in the pod has heard of it."""
    (desk.place / "plain.py").write_text(PLAIN.replace("{wait}", "3000"))
    with desk.job("--name", "web", program="plain.py") as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip().isdigit()
        (process,) = json.loads(desk.shell("ps", "web", "--json").stdout)["processes"]
        os.kill(process["rpid"], signal.SIGTERM)
        child.communicate(timeout=PATIENCE_S)
        assert child.returncode == SAVED
    with desk.job("--name", "web", program="plain.py") as child:
        out, said = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out) == (0, "waited 0 0 []\nown [15]\n"), said


BLOCKING = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
while not os.path.exists("enough"):
    time.sleep(0.01)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
print("alive", flush=True)
"""


def test_what_waits_for_a_program_that_blocks_it_stays_here(desk: Desk) -> None:
    (desk.place / "blocking.py").write_text(BLOCKING)
    with desk.job("--name", "web", program="blocking.py") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        (process,) = json.loads(desk.shell("ps", "web", "--json").stdout)["processes"]
        os.kill(process["rpid"], signal.SIGTERM)
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
        assert child.returncode == SAVED
    (desk.place / "enough").touch()
    with desk.job("--name", "web", program="blocking.py") as child:
        out, said = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out) == (0, "alive\n"), said


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--every", "10m"), "which has --images"),
        (("--continue",), "which has --images"),
        (("--images", "x", "--every", "10x"), "is no time such as"),
        (("--images", "x", "--every", "0"), "is no time such as"),
        (("--images", "x", "--on", "TERM,NONE"), "is no signal"),
        (("--images", "x", "--on", "KILL"), "cannot say that a job has to leave"),
    ],
)
def test_what_is_no_job(desk: Desk, options: tuple[str, ...], wrong: str) -> None:
    done = desk.shell("run", *options, "--", "true", cwd=desk.place)
    assert done.returncode == 2 and wrong in done.stderr
    assert not (desk.place / "x").exists()
