"""What an image says of its pod is checked in one place, whoever looks at it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzz import corpus

from harness.world import make_place, remove
from zaptrace import cli, plain
from zaptrace.errors import BadImage
from zaptrace.image import manifest as manifests
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.limits import UNBOUNDED
from zaptrace.pod.contents import read
from zaptrace.pod.restore import claim

pytestmark = pytest.mark.tracer
States = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], States, Path]:
    """The manifest and States of a family of processes."""
    place, target = make_place(), tmp_path_factory.mktemp("image") / "i"
    try:
        corpus.make("fork_tree", place, target)
    finally:
        remove(place)
    manifest = manifests.unpack((target / "manifest").read_bytes())
    records = plain.load_each((target / "state").read_bytes(), UNBOUNDED)
    return manifest, {record["room"]: record["states"] for record in records}, target


def image(made: tuple[dict[str, Any], States, Path], states: States, at: Path) -> Path:
    manifest, _, _ = made
    with DirectorySink(at, codec="zstd") as sink:
        for name, entry in manifest["parts"].items():
            with sink.part(name) as part:
                if name != "state":
                    part.write(bytes(entry["size"]))
                    continue
                for room, found in states.items():
                    part.write(plain.dumps({"room": room, "states": found}))
        sink.commit(manifest)
    return at


def test_a_good_one_is_shown_and_checked(made, tmp_path: Path, capsys) -> None:
    path = image(made, made[1], tmp_path / "i")
    assert cli.call(["show", str(path)]) == 0
    with Image.open(path) as opened:
        claim(opened)
    assert "tree" in capsys.readouterr().out


def own_parent(states: States) -> None:
    states["process"][1]["ppid"] = states["process"][1]["vpid"]


def circle(states: States) -> None:
    one, other = states["process"][1:3]
    one["ppid"], other["ppid"] = other["vpid"], one["vpid"]


def twice(states: States) -> None:
    states["process"].append(states["process"][-1])


def nobodys_memory(states: States) -> None:
    states["memory"][0]["vpid"] = 4_000_000


def nobodys_file(states: States) -> None:
    states["fdtable"][0]["entries"][0]["file_id"] = 4_000_000


def no_thread(states: States) -> None:
    del states["thread"][0]


def a_nul(states: States) -> None:
    states["process"][0]["executable"]["path"] = b"/bin/sh\0x"


def no_such_signal(states: States) -> None:
    states["process"][0]["death_signal"] = 65


def one_number_twice(states: States) -> None:
    states["fdtable"][0]["entries"].append(states["fdtable"][0]["entries"][0])


def overlap(states: States) -> None:
    mappings = states["memory"][0]["mappings"]
    mappings[1]["start"] = mappings[0]["start"]


def half_a_page(states: States) -> None:
    states["memory"][0]["mappings"][0]["end"] -= 1


def behind_the_part(states: States) -> None:
    m = next(m for m in states["memory"][0]["mappings"] if m["runs"])
    m["runs"] = m["runs"][:24] + (1 << 40).to_bytes(8, "little")


def unknown_room(states: States) -> None:
    states["telepathy"] = []


def unknown_register(states: States) -> None:
    states["thread"][0]["registers"]["rzx"] = states["thread"][0]["registers"].pop("rax")


def _of_another_process(states: States, room: str) -> tuple[dict[str, Any], int]:
    """A State of this room, and a thread that is not of its process."""
    one = states[room][0]
    return one, next(t["vtid"] for t in states["thread"] if t["vpid"] != one["vpid"])


def anothers_filter(states: States) -> None:
    one, vtid = _of_another_process(states, "seccomp")
    other = next(s for s in states["seccomp"] if s["vtid"] == vtid)
    one["vtid"], other["vtid"] = vtid, one["vtid"]


def anothers_scheduling(states: States) -> None:
    one, vtid = _of_another_process(states, "credentials")
    one["threads"][0]["vtid"] = vtid


def anothers_times(states: States) -> None:
    one, vtid = _of_another_process(states, "cpu_time")
    one["threads"] = {vtid: next(iter(one["threads"].values()))}


def endless_times(states: States) -> None:
    states["cpu_time"][0]["used"][0] = -(1 << 63)


def half_a_schedule(states: States) -> None:
    states["credentials"][0]["threads"][0]["attributes"] = bytes(48)


def soft_above_hard(states: States) -> None:
    states["credentials"][0]["limits"][3] = [-1, 4096]


def soft_above_hard_of_time(states: States) -> None:
    states["cpu_time"][0]["limit"] = [7, 6]


def _note(states: States, room: str, key: bytes, value: bytes) -> None:
    states.setdefault("store", []).append({"room": room, "key": key, "value": value})


def half_an_address(states: States) -> None:
    _note(states, "inet_socket", bytes(8) + b"\xff" * 4 + bytes(4), b"\2" * 111)


def addresses_of_no_family(states: States) -> None:
    _note(states, "inet_socket", bytes(8) + b"\xff" * 4 + bytes(4), b"\7" * 112)


def an_option_without_a_number(states: States) -> None:
    _note(states, "inet_socket", bytes(12), b"")


def half_a_filter(states: States) -> None:
    _note(states, "seccomp", b"\1\0\0\0", bytes(8 + 7))


def a_last_filter(states: States) -> None:
    _note(states, "seccomp", ((1 << 31) - 1).to_bytes(4, "little"), bytes(16))


def a_relative_directory(states: States) -> None:
    _note(states, "unix_socket", bytes(8), b"etc")


def a_watch_of_nothing(states: States) -> None:
    _note(states, "inotify", b"", bytes(4))


def half_a_ring(states: States) -> None:
    _note(states, "aio", bytes(16), bytes(15))


def half_an_event(states: States) -> None:
    _note(states, "mqueue", bytes(4) + b"/q", bytes(15))


def nobodys_timer(states: States) -> None:
    _note(states, "posix_timer", bytes(8), b"")


def half_a_key(states: States) -> None:
    _note(states, "keys", bytes(3), b"")


WRONG = (
    anothers_filter, anothers_scheduling, anothers_times, endless_times, half_a_schedule, soft_above_hard,
    soft_above_hard_of_time, half_an_address, addresses_of_no_family, an_option_without_a_number,
    half_a_filter, a_last_filter, a_relative_directory, a_watch_of_nothing, half_a_ring,
    half_an_event, nobodys_timer, half_a_key,
    own_parent, circle, twice, nobodys_memory, nobodys_file, no_thread, a_nul, no_such_signal,
    one_number_twice, overlap, half_a_page, behind_the_part, unknown_room, unknown_register,
)  # fmt: skip


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_is_refused_by_all(
    made, tmp_path: Path, capfd, spoil: Callable[[States], None]
) -> None:
    states = copy.deepcopy(made[1])
    spoil(states)
    path = image(made, states, tmp_path / "i")
    assert cli.call(["show", str(path)]) == 8  # a bad image
    said = capfd.readouterr().err.removeprefix("zaptrace: ")
    assert said.startswith("bad image")
    assert cli.call(["check", str(path)]) == 1  # no
    assert said in capfd.readouterr().out
    with Image.open(path) as opened, pytest.raises(BadImage):
        read(opened)


def test_names_that_command_a_terminal_are_shown_as_text(made, tmp_path: Path, capsys) -> None:
    states = copy.deepcopy(made[1])
    states["process"][0]["comm"] = "\x1b]0;owned\x07"
    states["process"][0]["cwd"] = b"/tmp/a\nprocess 99 \xe2\x80\xae"
    assert cli.call(["show", str(image(made, states, tmp_path / "i"))]) == 0
    out = capsys.readouterr().out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert r"\x1b]0;owned\x07" in out
    assert r"/tmp/a\x0aprocess 99 \u{202e}" in out
