"""A load is proven to go on by its own counter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.experiments.run_cost import parse
from bench.experiments.suspend import Suspend
from bench.system import LateError, Load, NotOfferedError, RefusedError, WrongError
from bench.systems.native import NativeInside
from bench.ticks import Ticks
from bench.tools import load as load_of
from bench.tools import wait_for_ready


def test_it_follows_what_is_said(place: Path):
    out = place / "out"
    ticks = Ticks(out)
    assert not ticks.look()
    out.write_text("ready\n1 0\n2 0\n3 ")
    assert ticks.look() and (ticks.count, ticks.lap) == (2, 0)
    assert not ticks.look()
    with out.open("a") as file:
        file.write("1\n4 2\n")
    ticks.next()
    assert (ticks.count, ticks.lap) == (4, 2)
    with pytest.raises(LateError, match="no number after 4 in 0 s"):
        ticks.next(0)


def test_nobody_waits_for_a_load_that_has_ended(place: Path):
    (place / "out").write_text("ready\n1 0\n")
    said = ["", "its machine ended: Kernel panic"]
    ticks = Ticks(place / "out", lambda: said.pop(0))
    ticks.next()
    with pytest.raises(RefusedError, match="no number after 1: its machine ended: Kernel panic"):
        ticks.next()
    assert not said


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("1 0\n3 0\n", "its counter was 1, and went on with 3"),
        ("1 0\n2 0\n2 0\n", "its counter was 2, and went on with 2"),
        ("1 0\nwrong\n", "it says 'wrong' after 1"),
        ("1 0\nready\n1 0\n", "its counter was 1, and went on with 1"),
    ],
)
def test_what_is_lost_twice_or_anew_is_wrong(place: Path, said: str, why: str):
    (place / "out").write_text("ready\n" + said)
    with pytest.raises(WrongError, match=why):
        Ticks(place / "out").look()


class Forgetful(Load):
    """It is resumed by being started anew, as a status of 0 would not tell."""

    def __init__(self, inside: NativeInside, argv: list[str]) -> None:
        self.inside, self.argv = inside, argv
        self.load = inside.start(argv)
        self.out = self.load.out

    def suspend(self, to: Path) -> None:
        to.mkdir()
        self.load.close()

    def resume(self, state: Path) -> None:
        self.load = self.inside.start(self.argv)
        wait_for_ready(self.load.out)
        with self.out.open("ab") as file:
            file.write(b"1 0\n")

    def close(self) -> None:
        self.load.close()


def test_one_that_begins_anew_is_no_resumed_one(place: Path):
    class Inside(NativeInside):
        def start(self, argv):
            return Forgetful(NativeInside(place), [*argv])

    with pytest.raises(WrongError, match=r"its counter was \d+, and went on with 1"):
        list(Suspend().measure("small process", Inside(place), place))


@pytest.mark.parametrize("said", ["", "getpid 70.0\n", "getpid 70.0\nwrong getppid\n"])
def test_calls_that_did_not_come_to_an_end_are_void(said: str):
    with pytest.raises(WrongError):
        parse(said)


def test_calls_that_did_are_microseconds():
    assert parse("getpid 70.0\nstat 1500.5\nPASS\n") == {"getpid": 0.07, "stat": 1.5005}


@pytest.mark.parametrize(
    ("load", "package"), [(["web.py", "5"], "nginx"), (["database.py"], "postgresql")]
)
def test_an_application_counts_what_it_is_answered(place: Path, load: list[str], package: str):
    running = NativeInside(place).start(load_of(*load))
    try:
        Ticks(running.out).everything()
    except NotOfferedError:
        pytest.skip(f"{package} is not installed: apt-get install {package}")
    finally:
        running.close()


def test_what_is_missing_inside_is_said(place: Path):
    (place / "out").write_text("@missing nginx\n")
    with pytest.raises(NotOfferedError, match="nginx is not installed in it"):
        Ticks(place / "out").look()


@pytest.mark.parametrize(
    ("said", "error", "why"),
    [
        ("@missing nginx\n", NotOfferedError, "nginx is not installed in it"),
        (
            "ModuleNotFoundError: No module named 'resource'\n",
            NotOfferedError,
            "no module 'resource'",
        ),
        ("@failed no display\n", RefusedError, "it does not come up: no display"),
    ],
)
def test_a_load_that_does_not_come_up_is_not_waited_for(
    place: Path, said: str, error: type[Exception], why: str
):
    out = place / "out"
    out.write_text(said)
    with pytest.raises(error, match=why):
        Ticks(out).next()


@pytest.mark.parametrize("name", ["shell.py", "notebook.py"])
def test_a_load_of_an_application_goes_on(place: Path, name: str):
    """Where the application is installed; else it says what is missing."""
    argv = load_of(name, *(["4"] if name == "notebook.py" else []))
    load = NativeInside(place).start(argv)
    try:
        ticks = Ticks(load.out)
        ticks.next()
        ticks.everything()
        assert ticks.count >= 40
    except NotOfferedError as missing:
        pytest.skip(str(missing))
    finally:
        load.close()
