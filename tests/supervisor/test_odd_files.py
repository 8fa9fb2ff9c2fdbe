"""Files of ours that are others than we left them: nobody hangs, grows, or shows a traceback for that.

tests/fuzz/files.py found these; it makes them up at random.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zaptrace.cli import group
from zaptrace.errors import HostError, PodError
from zaptrace.linux import records, scratch
from zaptrace.migration import destination
from zaptrace.network.keys import Keys
from zaptrace.supervisor import control, runtime

HUGE = 1 << 40
OUTCOME = {"how": "exited", "status": 256, "to": None, "instance": "i", "left": 0, "told": []}
RECORD = {"id": "0" * 32, "name": "web", "state": "whole", "from": "somebody"}


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(HUGE)


NO_RECORDS: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a directory": os.mkdir,
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "huge": huge,
    "zeros": lambda path: path.write_bytes(bytes(200)),
    "deep": lambda path: path.write_text("[" * 200_000),
    "no map": lambda path: path.write_text("[]"),
    "no UTF-8": lambda path: path.write_bytes(b'{"how": "\xff"}'),
}


@pytest.fixture
def base(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ZAPTRACE_RUNTIME_DIR", str(place / "run"))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield runtime.root()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", NO_RECORDS)
def test_what_is_no_record(base: Path, what: str) -> None:
    make = NO_RECORDS[what]
    entry = runtime.claim("web", base)
    Path(entry.file("pid")).unlink()
    (base / ".ended").mkdir()
    arrival = base / "arrival"
    arrival.mkdir()
    for path in (
        Path(entry.file("meta")),
        Path(entry.file("pid")),
        base / ".ended" / "web.json",
        arrival / "record",
    ):
        make(path)
    assert runtime.read_meta(entry.path) == {}
    assert runtime.supervisor_pid(entry.path) is None
    assert runtime.ended("web", base) is None
    assert destination.record_of(arrival)["state"] == "receiving"
    entry.release()
    with pytest.raises(PodError, match="there is no pod 'web'"):
        runtime.find("web", base)


@pytest.mark.parametrize(
    "wrong",
    [
        {"how": None}, {"status": "256"}, {"status": 1 << 70}, {"status": 0x7F}, {"status": True},
        {"left": -1}, {"told": [1]}, {"instance": 7}, {"to": []}, {"why": {}},
    ],
)  # fmt: skip
def test_an_outcome_of_other_types(base: Path, wrong: dict[str, object]) -> None:
    path = base / ".ended" / "web.json"
    path.parent.mkdir()
    path.write_text(json.dumps(OUTCOME))
    kept = runtime.ended("web", base)
    assert kept == OUTCOME
    assert control.Outcome.from_dict(kept).how == "exited"
    path.write_text(json.dumps(OUTCOME | wrong))
    assert runtime.ended("web", base) is None
    path.write_text(json.dumps({"status": 0}))
    assert runtime.ended("web", base) is None


@pytest.mark.parametrize("text", ["1e999", "NaN", "-1", "null", '"now"', "1" + "0" * 400])
def test_a_time_is_one(place: Path, text: str) -> None:
    path = place / "meta"
    path.write_text(f'{{"started": {text}}}')
    assert records.read(path, {"started": records.is_time}) is None
    path.write_text('{"started": 1.5}')
    assert records.read(path, {"started": records.is_time}) == {"started": 1.5}


@pytest.mark.parametrize("what", ["a link", "a directory"])
@pytest.mark.timeout(60)
def test_a_lock_that_is_none_is_told(base: Path, what: str) -> None:
    entry = runtime.claim("web", base)
    lock = Path(entry.file("lock"))
    lock.unlink()
    if what == "a link":
        lock.symlink_to("lock")
    else:
        lock.mkdir()
    with pytest.raises(HostError, match="cannot tell whether pod 'web' lives"):
        _ = control.Client("web", base, "i").stream
    with pytest.raises(HostError, match="cannot tell"):
        runtime.pods(base)
    entry.release()
    assert runtime.pods(base) == []


@pytest.mark.parametrize("named", [bytes(100), b"zaptrace-try.01234567", b"/x\0/zt.01234567"])
def test_a_note_that_names_nothing_goes(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch, named: bytes
) -> None:
    """Every command ended in a traceback: it sweeps first."""
    (place / "zaptrace-try.01234567").mkdir()
    note = place / "zaptrace-note-0123456789abcdef"
    note.write_bytes(named)
    monkeypatch.chdir(place)
    assert scratch.sweep() == []
    assert not note.exists()
    assert (place / "zaptrace-try.01234567").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["a named pipe", "a directory", "a link"])
def test_a_log_that_is_none(base: Path, what: str) -> None:
    (base / ".ended").mkdir()
    NO_RECORDS[what](base / ".ended" / "web.log")
    with pytest.raises(HostError, match="cannot read the log"):
        group.run(["logs", "web"])


@pytest.mark.parametrize("target", ["nothing", "identity"])
def test_a_key_that_is_a_link_to_nothing(place: Path, target: str) -> None:
    (place / "config").mkdir(0o700)
    (place / "config" / "identity").symlink_to(target)
    with pytest.raises(HostError, match=r"cannot use .*identity"):
        Keys(place / "config")
