"""The harness itself, with nothing of ours under it: a proof is only as good as its instrument."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from harness import flavours, world
from harness.flavours import compare_native, run_flavour, started
from harness.runs import Outcome, PodRun, thread_state


def test_native_passes_and_fails(place: Path):
    ok = "echo ready; while [ ! -e $ZT_GO ]; do sleep 0.01; done; echo PASS"
    assert run_flavour("native", ["/bin/sh", "-c", ok], place).exit == 0
    for bad in ("echo ready; exit 3", "echo ready; echo NO", "kill -9 $$"):
        with pytest.raises(world.FlavourError):
            run_flavour("native", ["/bin/sh", "-c", bad], place, timeout=5)


def test_native_compares_with_itself(place: Path):
    compare_native("native", ["/bin/sh", "-c", "echo a; sleep 0.2; echo b; exit 4"], place)
    with pytest.raises(AssertionError, match="output differs"):
        compare_native("native", ["/bin/sh", "-c", "echo $$"], place)


def test_settled_is_who_has_slept_since(place: Path):
    """A process that is still busy when another says ready is waited for."""
    busy = "while [ ! -e $ZT_GO ]; do :; done; exec sleep 100"
    with started("native", ["/bin/sh", "-c", f"{{ {busy}; }} & echo ready; wait"], place) as it:
        it.wait_for("ready")
        threading.Timer(0.2, it.go).start()
        it.settle()
        assert it.go_file.exists()
        assert [thread_state(process["rpid"]) for process in it.processes()] == ["S", "S"]


def test_a_life_leaves_nothing(place: Path):
    with started("native", ["/bin/sh", "-c", "sleep 100 & sleep 100"], place) as it:
        it.wait(0.2)
        assert len(it.processes()) == 3
    ended = it.process.returncode
    assert ended == -9


def in_pytest(place: Path, test: str, **env: str) -> str:
    """What pytest says of a file of tests, with this harness's conftest around it."""
    (place / "test_it.py").write_text(textwrap.dedent(test))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest"]
    done = subprocess.run(
        [*words, str(place)], capture_output=True, text=True, cwd=place, check=False,
        env={**os.environ, "PYTHONPATH": str(world.TESTS), **env},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_leaks_are_found(place: Path):
    """A background process that a test leaves behind fails that test."""
    said = in_pytest(
        place,
        """
        import subprocess
        def test_it():
            subprocess.run(["/bin/sh", "-c", "sleep 55 & :"])
        """,
    )
    assert "left running by this test" in said
    assert "sleep 55" in said


def test_files_that_stay_open_are_found(place: Path):
    """Of what only a cycle holds nothing stays."""
    said = in_pytest(
        place,
        """
        import os
        def test_good():
            a, b = open(os.devnull), []
            b.append((a, b))
        def test_bad():
            os.open(os.devnull, os.O_RDONLY)
        """,
    )
    assert "2 passed, 1 error" in said
    assert "'/dev/null'" in said.partition("left open by this test: ")[2]
    assert "ERROR" in said and "::test_bad" in said


@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_a_failure_leaves_is_where_it_says(place: Path, elsewhere: bool):
    kept = place / "kept"
    kept.mkdir()
    said = in_pytest(
        place,
        """
        def test_good(place):
            (place / "good").touch()
        def test_bad(place):
            (place / "trace").write_text("of the failure")
            assert False
        """,
        TMPDIR=str(place),
        ZAPTRACE_TEST_KEEP=str(kept) if elsewhere else "",
    )
    (trace,) = place.rglob("trace")
    assert trace.parent.parent == (kept if elsewhere else place)
    assert f"{trace.parent}" in said
    assert not list(place.rglob("good"))


def test_notes_are_shown_once_each(place: Path):
    said = in_pytest(
        place,
        """
        import pytest
        from harness import world
        @pytest.mark.parametrize("n", range(3))
        def test_it(n):
            world.told.append("it was seen")
        def test_other():
            world.told.append("so was this")
        """,
    )
    assert "3 times: it was seen" in said
    assert "1 times: so was this" in said


@pytest.mark.parametrize("name", ["ZAPTRACE_TEST_FLAVOURS", "ZAPTRACE_TEST_STRANGERS"])
def test_what_is_unknown_is_refused_by_name(place: Path, name: str):
    said = in_pytest(place, "def test_it(): pass", **{name: "restroe"})
    assert "restroe" in said
    assert "passed" not in said


def test_an_unknown_flavour_does_not_start(place: Path):
    with pytest.raises(ValueError, match="no such flavour: restroe"), started("restroe", [], place):
        pass


def test_a_checkpoint_that_fails_is_no_success(place: Path):
    """The program's end does not excuse it; that the pod had ended by then does."""
    with started("restore", ["/bin/true"], place) as it:
        assert isinstance(it, PodRun)
        assert it.finish().exit == 0
        it.ask("fault", name="checkpoint.frozen:raise")
        with pytest.raises(world.FlavourError, match="fault point"):
            it.cycle()
        it.ask("fault", name="")
        assert not it.cycle()


def test_what_was_never_caught_proves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A program that is over before the first cycle is tried earlier, and then fails."""
    pauses = []

    def run_once(flavour, argv, place, env, prepare, check, timeout, moments):
        pauses.append(sum(moments))
        return Outcome(0, "", cycles=int(len(pauses) == caught_at))

    monkeypatch.setattr(flavours, "_run_once", run_once)
    caught_at = 4
    assert compare_native("restore", ["a program"], place).cycles == 1
    assert len(pauses) == 4
    pauses.clear()
    caught_at = 99
    with pytest.raises(world.FlavourError, match="nothing was shown"):
        compare_native("restore", ["a program"], place)
    assert len(pauses) == flavours.ATTEMPTS
    assert compare_native("pod", ["a program"], place).cycles == 0
