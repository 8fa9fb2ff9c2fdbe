"""What is kept of what a pod wrote to its terminal."""

from __future__ import annotations

from zaptrace.screen.emulator import replayed
from zaptrace.supervisor.scrollback import Scrollback


def shown(ring: Scrollback) -> list[str]:
    facts = ring.facts()
    screen = replayed(facts["before"], facts["data"], facts["sizes"])
    return ["".join(line.text).rstrip() for line in screen.grid.lines]


def test_what_was_turned_on_long_ago_is_on() -> None:
    ring = Scrollback(5, 20, limit=1000)
    ring.append(b"below\x1b[?1049h\x1b[?1000h\x1b[2;4r")
    for n in range(1000):
        ring.append(b"\x1b[%d;1H\x1b[32mline %d\x1b[K\r\n" % (n % 3 + 2, n))
    facts = ring.facts()
    assert len(facts["data"]) < 3000
    screen = replayed(facts["before"], facts["data"], facts["sizes"])
    assert screen.grid is screen.other
    assert screen.modes.private == {1000: True} and screen.modes.margins == (2, 4)
    assert sorted(line for line in shown(ring) if line) == ["line 998", "line 999"]


def test_what_is_cut_off_is_no_half_sequence() -> None:
    ring = Scrollback(5, 20, limit=100)
    for _ in range(500):
        ring.append(b"\x1b[38;5;123mx\x1b[0m")
    assert set("".join(shown(ring))) == {"x"}


def test_sizes_go_along() -> None:
    ring = Scrollback(5, 20, limit=100)
    ring.append(b"a" * 50)
    ring.resized(6, 30)
    ring.resized(7, 30)
    ring.append(b"b" * 20)
    assert ring.facts()["sizes"] == [(0, 5, 20), (50, 7, 30)]
    ring.append(b"c\n" * 300)
    assert ring.facts()["sizes"] == [(0, 7, 30)]
    for cols in range(1, 500):
        ring.append(b"d")
        ring.resized(9, cols)
    facts = ring.carried()
    assert len(facts.sizes) <= 64 and facts.sizes[-1].cols == 499


def test_carried_on() -> None:
    ring = Scrollback(5, 20, limit=200)
    ring.append(b"\x1b[?25l" + b"line\r\n" * 100 + b"last")
    other = Scrollback(24, 80, limit=200)
    other.carry_on(ring.carried())
    assert other.facts() == ring.facts()
    assert other.carried_to == other.end
    assert other.size == (5, 20)
