"""A process more in a pod that runs, from Python."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import zaptrace
from harness.supervisors import eventually
from zaptrace import aio
from zaptrace.errors import LaunchError, PodError


@pytest.fixture
def web(home: Path) -> Iterator[zaptrace.Pod]:
    with zaptrace.launch(["sleep", "600"], name="web", on_exit="stop") as pod:
        yield pod


def commands(pod: zaptrace.Pod) -> list[str]:
    return [process.comm for process in pod.processes()]


def test_what_it_writes_and_how_it_ends(web: zaptrace.Pod, home: Path):
    script = "echo $A $PWD $PPID; echo err >&2; read x || exit 3"
    done = web.exec(["sh", "-c", script], cwd=home, env={"A": "a", "PATH": os.environ["PATH"]})
    assert (done.stdout, done.stderr, done.returncode) == (f"a {home} 1\n".encode(), b"err\n", 3)
    assert done.outcome is None and done.vpid > 1
    assert web.exec(["sh", "-c", "kill -9 $$"]).returncode == -signal.SIGKILL
    assert len(web.exec(["head", "-c", "1000000", "/dev/zero"]).stdout) == 1_000_000


def test_what_lives_on_is_not_waited_for(web: zaptrace.Pod):
    done = web.exec(["sh", "-c", "echo one; sleep 601 & exit 4"])
    assert (done.stdout, done.returncode) == (b"one\n", 4)
    assert commands(web) == ["sleep", "sleep"]


def test_files_of_its_own(web: zaptrace.Pod, home: Path):
    (home / "in").write_bytes(b"given\n")
    with open(home / "in") as file, open(home / "out", "wb") as out:
        done = web.exec("cat", stdio=(file, out, out))
    assert (home / "out").read_bytes() == b"given\n"
    assert (done.stdout, done.returncode) == (b"", 0)


def test_in_the_background(web: zaptrace.Pod):
    begun = web.exec(["sh", "-c", "echo from it; exec sleep 601"], detach=True)
    assert begun.returncode is None
    assert begun.vpid in [process.vpid for process in web.processes()]
    eventually(lambda: "from it" in web.logs(), "its output in the log")


def test_one_that_takes_too_long_is_killed(web: zaptrace.Pod):
    with pytest.raises(TimeoutError, match=r"'sleep' has not ended after 0\.2 s"):
        web.exec(["sleep", "601"], timeout=0.2)
    assert commands(web) == ["sleep"]


def test_one_that_is_cancelled_is_killed(home: Path):
    async def main() -> None:
        pod = await aio.launch(["sleep", "600"], name="web", on_exit="stop")
        async with pod:
            task = asyncio.create_task(pod.exec(["sleep", "601"]))
            while len(await pod.processes()) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(await pod.processes()) == 1

    asyncio.run(asyncio.wait_for(main(), 60))


def test_its_pod_goes_away(web: zaptrace.Pod, home: Path):
    async def main() -> aio.Executed:
        pod = await aio.connect("web")
        task = asyncio.create_task(pod.exec(["sleep", "601"]))
        while len(await pod.processes()) < 2:
            await asyncio.sleep(0.01)
        await pod.checkpoint(home / "web.zap", stop=True)
        return await task

    done = asyncio.run(asyncio.wait_for(main(), 60))
    assert done.returncode is None
    assert done.outcome is not None and done.outcome.how == "checkpointed"
    with zaptrace.restore(home / "web.zap", on_exit="stop") as pod:
        assert commands(pod) == ["sleep", "sleep"]


def test_why_not(web: zaptrace.Pod):
    with pytest.raises(LaunchError):
        web.exec("/no/such/thing")
    with pytest.raises(TypeError, match="argv"):
        web.exec(7)
    with pytest.raises(ValueError, match="detach"):
        web.exec("ls", detach=True, timeout=1)
    with pytest.raises(NotADirectoryError, match="cwd"):
        web.exec("ls", cwd="/no/such/place")
    web.freeze()
    with pytest.raises(PodError, match="frozen"):
        web.exec("true")
    web.thaw()
    web.stop()
    with pytest.raises(PodError):
        web.exec("true")
