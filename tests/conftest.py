"""What holds around every test: who reaps, which signals are on, and that nothing of ours stays.

Each pytest process makes itself the reaper of its orphans. So whatever a test leaves running, a
supervisor that went to the background too, ends up as a child of ours, and is found without marks.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent.parent))  # last: a sanitized build comes before it

from harness import world

PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 3.0

MARKS = {
    "tracer": "exercises the tracer in C: runs under ASan and UBSan too",
    "root_too": "runs once more as root",
    "slow": "takes longer than ten seconds",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    try:
        from harness import flavours, strangers  # noqa: F401 - they look at what was asked for
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    page = os.environ.pop("ZAPTRACE_TEST_MATRIX", None)  # those that tests start write none
    if page and not hasattr(config, "workerinput"):
        from harness import matrix

        config.pluginmanager.register(matrix.Matrix(Path(page), config))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A shell starts `&` jobs with the first two ignored, nohup what it runs with the third, and every
    # child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def pytest_unconfigure() -> None:
    world.at_end.close()


def pytest_report_header(config: pytest.Config) -> str:
    who = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    return f"zaptrace: as {who}, seed {world.SEED} (ZAPTRACE_TEST_SEED)"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """A failed test keeps its directory, and says where it is; any test tells what it noted."""
    outcome = yield
    report = outcome.get_result()
    report.user_properties += [(_NOTE, text) for text in world.told]
    world.told.clear()
    if report.failed:
        item.stash[_FAILED] = True
        place = item.funcargs.get("place") if hasattr(item, "funcargs") else None
        if place is not None:
            report.sections.append(("kept", str(world.kept_at(place))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests noted, equal ones once."""
    reports = [r for found in terminalreporter.stats.values() for r in found]
    notes = Counter(
        value for r in reports for key, value in getattr(r, "user_properties", ()) if key == _NOTE
    )
    if notes:
        terminalreporter.section("notes")
        for text, count in notes.most_common(_MAX_NOTES):
            terminalreporter.line(f"{count:4} times: {text}")
        if len(notes) > _MAX_NOTES:
            terminalreporter.line(f"     and {len(notes) - _MAX_NOTES} others")


_NOTE = "zaptrace note"
_MAX_NOTES = 40


_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def place(request: pytest.FixtureRequest):
    """A directory of the test's own, with a path short enough for sockets."""
    path = world.make_place()
    yield path
    if request.node.stash.get(_FAILED, False):
        world.keep(path)
    else:
        world.remove(path)


@pytest.fixture(autouse=True, scope="session")
def sent_without_copying() -> None:
    """What pyzmq has for that from the first time on, a thread and its files, no test has left behind."""
    if (zmq := sys.modules.get("zmq")) is None:
        return
    with (
        zmq.Context() as context,
        context.socket(zmq.PAIR) as ours,
        context.socket(zmq.PAIR) as theirs,
    ):
        ours.bind("inproc://once")
        theirs.connect("inproc://once")
        ours.send(bytes(1 << 20), copy=False)
        theirs.recv()


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest):
    """No process outlives its test, no file stays open, and nothing of ours appears in shared memory."""
    world.reap()
    before, shm, files = set(world.children()), _shm(), world.descriptors()
    yield
    deadline = time.monotonic() + _GRACE_S
    while (left := world.left_since(before)) and time.monotonic() < deadline:
        world.reap()
        time.sleep(0.02)
    said = [world.describe(pid) for pid in sorted(left)]
    for pid in left:
        world.end(pid)
    assert not said, "left running by this test:\n" + "\n".join(said)
    left_shm = _shm() - shm
    assert not left_shm, f"left in /dev/shm: {sorted(left_shm)}"
    if request.node.stash.get(_FAILED, False):  # what its frames hold is open still
        return
    if _opened_since(files):
        gc.collect()  # what a cycle holds is nobody's any more
    while (opened := _opened_since(files)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not opened, f"left open by this test: {opened}"


def _opened_since(before: set[int]) -> dict[int, str]:
    opened = world.descriptors() - before - world.staying_open
    return {fd: world.describe_descriptor(fd) for fd in opened}


def _shm() -> set[str]:
    """Entries of ours in /dev/shm; other sessions of the same user name theirs otherwise."""
    try:
        return {name for name in os.listdir("/dev/shm") if name.startswith("zaptrace")}
    except FileNotFoundError:
        return set()
