"""docs/batch.md, as it stands there, under a stand-in for each batch system (harness/batch.py): a job
that is told to leave again and again, or is lost, has each row of its table once in the end.

ZAPTRACE_BATCH_KILLS says how often each (CI: few times).
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.batch import Node
from harness.supervisors import eventually
from harness.world import PATIENCE_S, ROOT, SEED
from zaptrace.supervisor.control import SAVED

KILLS = int(os.environ.get("ZAPTRACE_BATCH_KILLS", "2"))
PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
MEMBERS = 4

USR1, TERM, CONT = signal.SIGUSR1, signal.SIGTERM, signal.SIGCONT


def block(title: str) -> str:
    """The script below a heading of the page, with images so often that a test sees them."""
    below = PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]
    (text,) = re.findall(r"^```\w+\n(.*?)^```", below, re.M | re.S)
    return text.replace("--every 10m", "--every 1s")


class Job:
    """One job, and the node that it is on."""

    def __init__(self, place: Path, argv: list[str], env: dict[str, str], name: str = "") -> None:
        self.place = place
        self.argv = argv
        self.env = env
        self.name = name
        self.table = place / f"rows-{name}"
        self.output = place / f"output-{name}"
        self.random = random.Random(f"{SEED} {name}")
        self.node: Node | None = None

    def start(self) -> None:
        self.node = Node(self.argv, self.place, self.env, self.output)

    def on_its_way(self) -> None:
        """It has come further than when it was started, and goes on for a moment."""
        assert self.node is not None
        before = self.rows()
        eventually(lambda: self.rows() != before or self._stopped(), f"a row of {self.name}")
        time.sleep(self.random.uniform(0, 0.3))

    def rows(self) -> int:
        return self.table.stat().st_size if self.table.exists() else -1

    def _stopped(self) -> bool:
        assert self.node is not None
        assert not self.node.ended(), self.output.read_text()
        return False

    def left(self, expected: int) -> None:
        """Its node has seen the end of it, with this exit status."""
        assert self.node is not None
        assert self.node.wait(PATIENCE_S) == expected, self.output.read_text()

    def is_whole(self) -> None:
        counted = re.findall(r"^counted (\d+)$", self.output.read_text(), re.M)
        rows = self.table.read_text().split("\n")
        assert rows == [*map(str, range(int(counted[-1]))), ""], self.output.read_text()


@pytest.fixture
def host(place: Path) -> Iterator[dict[str, str]]:
    """The environment of jobs: the commands that they use, those of the batch systems among them."""
    bin_ = place / "bin"
    bin_.mkdir()
    asked = f'#!/bin/sh\necho "$@" >> {place}/asked\n'
    commands = {
        "zaptrace": f'#!/bin/sh\nexec {sys.executable} -m zaptrace "$@"\n',
        "scontrol": asked,
        "qsub": asked,
        "curl": f"#!/bin/sh\ntest -e {place}/notice\n",
    }
    for name, text in commands.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    shutil.copy(ROOT / "tests/real/programs/rows.py", place / "job.py")
    yield {
        **os.environ,
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ZAPTRACE_RUNTIME_DIR": str(place / "run"),
    }


def asked(place: Path) -> list[str]:
    """What the jobs said to their batch system, which hears it once."""
    path = place / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def script(place: Path, name: str, text: str) -> list[str]:
    (place / name).write_text(text)
    return ["bash", name]


def finish(place: Path, jobs: list[Job]) -> None:
    """They are started once more, are through, and have each row once."""
    for job in jobs:
        job.start()
        job.on_its_way()
    (place / "enough").touch()
    for job in jobs:
        job.left(0)
        job.is_whole()


def test_slurm(place: Path, host: dict[str, str]) -> None:
    """An array of four, side by side: told at the shell, told in all processes, or lost with the node."""
    argv = script(place, "job.sh", block("Slurm"))
    ids = [str(n + 1) for n in range(MEMBERS)]
    more = {"SLURM_JOB_ID": "42", "SLURM_ARRAY_JOB_ID": "42"}
    jobs = [Job(place, argv, host | more | {"SLURM_ARRAY_TASK_ID": n}, n) for n in ids]
    for _ in range(KILLS):
        for job in jobs:
            job.start()
        told: list[str] = []
        for job in jobs:
            job.on_its_way()
            assert job.node is not None
            how = job.random.choice(("shell", "all", "lost"))
            if how == "shell":  # --signal=B:USR1@120
                job.node.to_first(USR1)
            elif how == "all":  # scancel, preemption
                job.node.to_all(CONT, TERM)
            else:
                job.node.lose()
                continue
            told.append(job.name)
        for job in jobs:
            if job.name in told:
                job.left(0)  # scontrol's
        assert sorted(asked(place)) == [f"requeue 42_{name}" for name in told]
    finish(place, jobs)


def test_pbs(place: Path, host: dict[str, str]) -> None:
    argv = script(place, "job.pbs", block("PBS"))
    env = {"PBS_O_WORKDIR": str(place), "PBS_JOBNAME": "sum", "PBS_JOBID": "7.server"}
    job = Job(place, argv, host | env)
    for _ in range(KILLS):
        job.start()
        job.on_its_way()
        assert job.node is not None
        job.node.to_all(TERM)
        job.left(0)  # qsub's
        assert asked(place) == ["job.pbs"]
    finish(place, [job])


def test_htcondor(place: Path, host: dict[str, str]) -> None:
    told = dict(re.findall(r"^(\w+) *= (.*)$", block("HTCondor"), re.M))
    stays = f"(ExitBySignal == False) && (ExitCode != {SAVED})"
    assert told["on_exit_remove"] == stays
    job = Job(place, ["zaptrace", *shlex.split(told["arguments"])], host)
    for _ in range(KILLS):
        job.start()
        job.on_its_way()
        assert job.node is not None
        job.node.to_first(signal.Signals[told["kill_sig"]])
        job.left(SAVED)
    finish(place, [job])


def test_a_spot_host(place: Path, host: dict[str, str]) -> None:
    """The notice comes; later the host goes."""
    text = block("A spot host").replace("sleep 5", "sleep 0.1")
    job = Job(place, script(place, "job.sh", text), host)
    for _ in range(KILLS):
        job.start()
        job.on_its_way()
        (place / "notice").touch()
        job.left(SAVED)
        (place / "notice").unlink()
    finish(place, [job])


def test_systemd(place: Path, host: dict[str, str]) -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", block("systemd"), re.M))
    assert unit["SuccessExitStatus"] == str(SAVED)
    job = Job(place, shlex.split(unit["ExecStart"]), host)
    for _ in range(KILLS):
        job.start()
        job.on_its_way()
        assert job.node is not None
        job.node.to_all(TERM, CONT)
        job.left(SAVED)
    finish(place, [job])


def test_cron(place: Path, host: dict[str, str]) -> None:
    """The two hours are over when the test says so."""
    job = Job(place, ["sh", "-c", block("cron")], host)
    for _ in range(KILLS):
        job.start()
        job.on_its_way()
        assert job.node is not None
        job.node.to_program("timeout", TERM)
        job.left(SAVED)
    finish(place, [job])


SCRIPTS: list[Callable[..., None]] = [
    *(test_slurm, test_pbs, test_htcondor, test_a_spot_host, test_systemd, test_cron)
]


def test_each_script_of_the_page_is_tried() -> None:
    assert PAGE.count("\n## ") == len(SCRIPTS)
