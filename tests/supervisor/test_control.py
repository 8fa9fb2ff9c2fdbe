"""Messages of the control socket, and the runtime directory."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zaptrace.errors import HostError, PodError, WireError
from zaptrace.supervisor import control, runtime
from zaptrace.supervisor.control import Outcome
from zaptrace.supervisor.ring import Ring

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class TestMessages:
    @given(st.dictionaries(st.text().filter(lambda k: k != "v"), plain))
    def test_there_and_back(self, message: dict) -> None:
        assert control.unpack(control.pack(message)) == {"v": control.VERSION, **message}

    @given(st.binary())
    def test_rubbish_is_a_wire_error(self, frame: bytes) -> None:
        with pytest.raises(WireError):
            control.unpack(frame)

    def test_paths_that_are_no_utf8(self) -> None:
        path = os.fsdecode(b"/tmp/\xff\xfe")
        assert control.unpack(control.pack({"to": path}))["to"] == path

    def test_an_outcome_of_a_newer_supervisor(self) -> None:
        outcome = Outcome("migrated", to="tcp://there:1")
        assert Outcome.from_dict({**outcome.to_dict(), "mood": "good"}) == outcome


class TestRing:
    @given(st.lists(st.binary(max_size=40)), st.integers(1, 30), st.integers(0, 50))
    def test_it_is_the_end_of_the_stream(self, writes: list[bytes], limit: int, count: int) -> None:
        ring, stream = Ring(limit), b"".join(writes)
        for data in writes:
            ring.append(data)
        assert ring.end == len(stream)
        assert len(stream) - ring.start >= min(limit, len(stream))
        at, data = ring.read(0, len(stream))
        assert (at, data) == (ring.start, stream[ring.start :])
        assert len(stream) - ring.tail(count) <= max(count, 0) or ring.tail(count) == ring.start


class TestRuntime:
    def test_names(self) -> None:
        for good in ("a", "web-2", "A.b_c", "7"):
            assert runtime.check_name(good) == good
        for bad in ("", ".", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", "a" * 41):
            with pytest.raises(PodError, match="cannot name a pod"):
                runtime.check_name(bad)

    def test_free_names(self, place: Path) -> None:
        base = runtime.root(place / "run")
        assert runtime.free_name("/usr/bin/python3", base) == "python3"
        assert runtime.free_name("../..", base) == "pod"
        entry = runtime.claim("sh", base)
        assert runtime.free_name("sh", base) == "sh-2"
        entry.release()

    def test_a_name_that_cannot_be_had_is_passed_by(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its pod has ended, so it is free; but its supervisor does not come to its own end."""
        monkeypatch.setattr(runtime, "_TIDY_S", 0.0)
        base = runtime.root(place / "run")
        stuck = runtime.claim("sh", base)
        stuck.record_end({"how": "exited", "status": 0, "instance": ""})
        assert runtime.free_name("sh", base) == "sh"
        entry = runtime.claim_free("sh", base)
        assert entry.name == "sh-2"
        entry.release()
        stuck.release()

    def test_a_lock_that_is_never_let_go(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runtime, "_LOCK_S", 0.0)
        base = runtime.root(place / "run")
        with (base / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(HostError, match="cannot have the lock") as caught:
                runtime.claim("sh", base)
        assert caught.value.remedy and str(base / ".lock") in caught.value.remedy
        runtime.claim("sh", base).release()

    def test_claimed_once(self, place: Path) -> None:
        base = runtime.root(place / "run")
        entry = runtime.claim("web", base)
        with pytest.raises(PodError, match="taken"):
            runtime.claim("web", base)
        assert runtime.pods(base) == ["web"]
        entry.record_end({"how": "exited", "status": 0, "instance": ""})
        entry.release()
        assert runtime.pods(base) == []
        with pytest.raises(PodError, match="exited with status 0"):
            runtime.find("web", base)

    def test_what_a_killed_supervisor_left_is_cleaned_up(self, place: Path) -> None:
        base = runtime.root(place / "run")
        code = (
            "import os, sys; from pathlib import Path; from zaptrace.supervisor import runtime;"
            "e = runtime.claim('web', Path(sys.argv[1])); os.kill(os.getpid(), 9)"
        )
        repo = str(Path(runtime.__file__).parents[2])
        subprocess.run([sys.executable, "-c", code, base], env={**os.environ, "PYTHONPATH": repo})
        assert (base / "web").is_dir()
        assert runtime.pods(base) == []
        assert not (base / "web").exists()
        runtime.claim("web", base).release()

    def test_only_ours(self, place: Path) -> None:
        base = runtime.root(place / "run")
        assert base.stat().st_mode & 0o777 == 0o700
        base.chmod(0o755)
        assert runtime.root(base).stat().st_mode & 0o777 == 0o700
        (place / "link").symlink_to(base)
        with pytest.raises(HostError, match="runtime directory"):
            runtime.root(place / "link")

    def test_long_paths_are_told(self, place: Path) -> None:
        base = runtime.root(place / ("x" * 90))
        with pytest.raises(HostError, match="control socket"):
            runtime.claim("web", base)
        assert runtime.pods(base) == []

    def test_ends_are_not_kept_for_ever(self, place: Path) -> None:
        base = runtime.root(place / "run")
        for number in range(40):
            entry = runtime.claim(f"pod{number}", base)
            Path(entry.file("log")).write_text("said")
            entry.record_end({"how": "exited"})
            entry.release()
        kept = [p.suffix for p in (base / ".ended").iterdir()]
        assert (kept.count(".json"), kept.count(".log")) == (32, 32)
