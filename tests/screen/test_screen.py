"""The emulator, and that what it draws is what it has: fed to another, that is the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zaptrace.screen.drawing import drawn
from zaptrace.screen.emulator import Emulator, replayed
from zaptrace.screen.grid import Grid
from zaptrace.screen.modes import Modes
from zaptrace.screen.pen import changed, sequence
from zaptrace.screen.questions import Unasked

ROWS, COLS = 6, 12


def screen(data: bytes, rows: int = ROWS, cols: int = COLS) -> Emulator:
    found = Emulator(rows, cols)
    found.feed(data)
    return found


def text(of: Emulator) -> list[str]:
    return ["".join(line.text[: of.cols]).rstrip() for line in of.grid.lines]


class TestText:
    @pytest.mark.parametrize(
        ("data", "lines"),
        [
            (b"one\r\ntwo", ["one", "two"]),
            (b"one\ntwo", ["one", "   two"]),
            (b"0123456789abcdef", ["0123456789ab", "cdef"]),
            (b"0123456789ab\rX", ["X123456789ab"]),
            (b"\x1b[?7l0123456789abcdef", ["0123456789af"]),
            (b"ab\x1b[4hX\x1b[D\x1b[DY", ["aYbX"]),
            (b"abc\b\bX\tY", ["aXc     Y"]),
            ("日本".encode(), ["日本"]),
            ("日本\x1b[2GX".encode(), [" X本"]),
            ("0123456789a日".encode(), ["0123456789a", "日"]),
            ("e\u0301x".encode(), ["e\u0301x"]),
            (b"\x1b(0lqk\x1b(Bq", ["┌─┐q"]),
            (b"\x0elqk\x1b)0lqk\x0fq", ["lqk┌─┐q"]),
            (b"a\x1b[3bb", ["aaaab"]),
            (b"\xff\xc3", ["\ufffd"]),
        ],
        ids=repr,
    )
    def test_written(self, data: bytes, lines: list[str]) -> None:
        assert text(screen(data))[: len(lines)] == lines

    @pytest.mark.parametrize(
        ("data", "lines"),
        [
            (b"\x1b[2;3HX", ["", "  X"]),
            (b"abc\x1b[2K", [""]),
            (b"abcdef\x1b[3G\x1b[K", ["ab"]),
            (b"abcdef\x1b[3G\x1b[1K", ["   def"]),
            (b"a\r\nb\r\nc\x1b[2;1H\x1b[J", ["a", "", ""]),
            (b"a\r\nb\r\nc\x1b[2;1H\x1b[1J", ["", "", "c"]),
            (b"a\r\nb\r\nc\x1b[2;1H\x1b[L", ["a", "", "b", "c"]),
            (b"a\r\nb\r\nc\x1b[2;1H\x1b[M", ["a", "c", ""]),
            (b"a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\nX", ["a", "c", "X", "d"]),
            (b"a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[2;1H\x1bMX", ["a", "X", "b", "d"]),
            (b"a\r\nb\x1b[S", ["b", ""]),
            (b"a\r\nb\x1b[T", ["", "a", "b"]),
            (b"abcdef\x1b[2G\x1b[2P", ["adef"]),
            (b"abcdef\x1b[2G\x1b[2@", ["a  bcdef"]),
            (b"abcdef\x1b[2G\x1b[2X", ["a  def"]),
            (b"ab\x1b7\r\ncd\x1b8X", ["abX", "cd"]),
            (b"\x1b[3;5r\x1b[?6h\x1b[1;1HX", ["", "", "X"]),
            (b"main\x1b[?1049h\x1b[Hother\x1b[?1049lX", ["mainX"]),
            (b"a\x1bcb", ["b"]),
        ],
        ids=repr,
    )
    def test_placed(self, data: bytes, lines: list[str]) -> None:
        assert text(screen(data))[: len(lines)] == lines

    def test_in_pieces(self) -> None:
        data = "\x1b[31mrot\x1b]0;title\x1b\\ 日本\x1b[2;2H\x1bP+q544e\x1b\\x".encode()
        pieces = Emulator(ROWS, COLS)
        for byte in data:
            pieces.feed(bytes([byte]))
        assert text(pieces) == text(screen(data)) == ["rot 日本", " x", "", "", "", ""]

    def test_what_scrolls_away(self) -> None:
        of = screen(b"".join(b"%d\r\n" % n for n in range(8)))
        assert ["".join(line.text) for line in of.main.history] == ["0", "1", "2"]
        of.feed(b"\x1b[?1049h" + b"\n" * 20)
        assert len(of.main.history) == 3 and Grid(1, 0).history.maxlen == 0


class TestPens:
    @pytest.mark.parametrize(
        ("args", "wanted"),
        [
            ([b""], "\x1b[0m"),
            ([b"1;31"], "\x1b[0;1;31m"),
            ([b"1", b"31", b"22"], "\x1b[0;31m"),
            ([b"38;5;202", b"48;2;1;2;3"], "\x1b[0;38;5;202;48;2;1;2;3m"),
            ([b"38:2::1:2:3"], "\x1b[0;38:2::1:2:3m"),
            ([b"4:3", b"58;5;1"], "\x1b[0;4:3;58;5;1m"),
            ([b"4", b"24"], "\x1b[0m"),
            ([b"97;41", b"39;49"], "\x1b[0m"),
            ([b"38;5"], "\x1b[0m"),
            ([b"7;0;3"], "\x1b[0;3m"),
        ],
        ids=repr,
    )
    def test_changed(self, args: list[bytes], wanted: str) -> None:
        pen = ""
        for one in args:
            pen = changed(pen, one)
        assert sequence(pen) == wanted


class TestModes:
    ON = (
        b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[4h\x1b[2;4r"
        b"\x1b[>4;2m\x1b[>1u\x1b[4 q\x1b(0\x1b]12;red\x07\x1b]4;1;#ffffff\x07\x1b[31m\x1b[?7l"
    )

    def test_all_is_undone(self) -> None:
        """As another such sees it, too."""
        modes = Modes()
        modes.follow(self.ON)
        undone = modes.undone()
        for off in (
            b"\x1b[?1049l",
            b"\x1b[?1l",
            b"\x1b>",
            b"\x1b[?25h",
            b"\x1b[?1000l",
            b"\x1b[4l",
        ):
            assert off in undone
        modes.follow(undone)
        assert modes.undone() == b""

    def test_nothing_is_undone_where_nothing_was_done(self) -> None:
        modes = Modes()
        modes.follow(b"text\r\n\x1b[31mred\x1b[0m\x1b[2J\x1b[?1049h\x1b[?1049l\x1b[r")
        assert modes.undone() == b""

    def test_half_a_sequence_does_not_take_our_words(self) -> None:
        modes = Modes()
        modes.follow(b"\x1b]0;half a ti")
        assert modes.undone() == b"\x18"

    @given(st.binary(max_size=200))
    @example(ON)
    def test_quick_as_in_full(self, data: bytes) -> None:
        """Past text and colours with a search, or each sequence in turn: the same is on."""
        quick = Modes()
        quick.follow(data)
        assert quick.before() == screen(data, 24, 80).modes.before()


PIECES = st.sampled_from(
    [
        *(b"abc", b"0123456789abcdef", "日本é".encode(), "e\u0301".encode(), b"\r\n", b"\n", b"\t"),
        *(
            b"\x1b[H",
            b"\x1b[3;4H",
            b"\x1b[K",
            b"\x1b[1K",
            b"\x1b[J",
            b"\x1b[2J",
            b"\x1b[L",
            b"\x1b[M",
        ),
        *(
            b"\x1b[31m",
            b"\x1b[44m",
            b"\x1b[0m",
            b"\x1b[1;7m",
            b"\x1b[4:3m",
            b"\x1b[38;5;9m",
            b"\x1b7",
        ),
        *(
            b"\x1b8",
            b"\x1b[2;4r",
            b"\x1b[r",
            b"\x1b[?6h",
            b"\x1b[?6l",
            b"\x1b[?1049h",
            b"\x1b[?1049l",
        ),
        *(
            b"\x1b[?7l",
            b"\x1b[?7h",
            b"\x1b[4h",
            b"\x1b[4l",
            b"\x1b[?25l",
            b"\x1b[?1003h",
            b"\x1b[c",
        ),
        *(
            b"\x1b(0",
            b"\x1b(B",
            b"\x0e",
            b"\x0f",
            b"\x1bM",
            b"\x1b[2S",
            b"\x1b[T",
            b"\x1b[2@",
            b"\x1b[P",
        ),
        *(b"\x1b[3X", b"\x1b[6n", b"\x1bP$qm\x1b\\", b"\x1b]11;?\x07", b"\x1b]2;t\x07", b"\x1b="),
        *(
            b"\x1b[?1047h",
            b"\x1b[?47l",
            b"\x1b#8",
            b"\x1b[!p",
            b"\x1bc",
            b"\xff",
            b"\x1b[",
            b"\x1b]0;",
        ),
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=3), max_size=40).map(b"".join)


def looks(of: Emulator) -> object:
    """All that is seen of it, now and as it goes on."""

    def lines(grid: Grid) -> list[list[tuple[str, str]]]:
        found = [list(zip(one.text, one.pens, strict=True))[: of.cols] for one in grid.lines]
        for line in found:
            while line and line[-1] == (" ", ""):
                line.pop()
        return found

    other = lines(of.other) if of.grid is of.other else None
    return (
        *(lines(of.main), other, of.row, of.col, of.wraps, of.pen, of.origin, of.top, of.bottom),
        *(of.grid.saved, of.modes.before(), of.unfinished),
    )


@settings(max_examples=300, deadline=None)
@given(STREAMS)
@example(b"\x1b[31m0123456789a\xe6\x97\xa5")
@example(b"\x1b[?1049h\x1b[3;3H\x1b7\x1b[?7l0123456789abcd")
def test_what_is_drawn_is_what_is_there(data: bytes) -> None:
    of = screen(data)
    again = screen(drawn(of, ROWS, COLS, 0))
    assert looks(again) == looks(of)


@given(STREAMS, st.integers(1, 9), st.integers(1, 15))
def test_no_bytes_and_no_size_are_too_much(data: bytes, rows: int, cols: int) -> None:
    of = screen(data, rows, cols)
    of.resize(cols, rows)
    of.feed(data)
    assert len(of.grid.lines) == cols and 0 <= of.row < cols and 0 <= of.col < rows
    drawn(of, 3, 4, 100)


def test_no_question_is_drawn() -> None:
    asked = (
        b"\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1b[?1$p\x1b[18t\x1bP$qm\x1b\\\x1bP+q54\x1b\\"
    )
    asked += b"\x1b]4;1;?\x07\x1b]10;?\x07\x1b]11;?\x1b\\\x1b]52;c;?\x07\x1b[?u\x1bZ\x05\x1b[x"
    assert drawn(screen(asked), ROWS, COLS, 9) == drawn(screen(b""), ROWS, COLS, 9)


ASKED = [
    *(
        b"\x1b[c",
        b"\x1b[>c",
        b"\x1b[=0c",
        b"\x1b[5n",
        b"\x1b[6n",
        b"\x1b[?6n",
        b"\x1b[?1$p",
        b"\x1b[4$p",
    ),
    *(
        b"\x1b[18t",
        b"\x1b[14;2t",
        b"\x1bP$qm\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x1b]4;1;?\x07",
        b"\x05",
    ),
    *(
        b"\x1b]11;?\x1b\\",
        b"\x1b]52;c;?\x07",
        b"\x1b[?u",
        b"\x1bZ",
        b"\x1b[x",
        b"\x1b[>q",
        b"\x1b[>0q",
    ),
]
SAID = [
    *(
        b"text?",
        b"\x1b[2J",
        b"\x1b[31m",
        b"\x1b[2 q",
        b"\x1b[22;0t",
        b"\x1b[8;24;80t",
        b"\x1b[>1u",
        b"\x1b[u",
    ),
    *(
        b"\x1b]0;who?\x07",
        b"\x1b]11;#000000\x07",
        b"\x1bPtmux;x\x1b\\",
        b"\x1b[!p",
        b"\x1b[2S",
        "日".encode(),
    ),
]


@given(st.lists(st.sampled_from(ASKED + SAID)), st.integers(1, 9))
def test_questions_are_taken_out(parts: list[bytes], size: int) -> None:
    """In whatever pieces they come; all else is passed on as it is."""
    unasked, data, found = Unasked(), b"".join(parts), b""
    for at in range(0, len(data), size):
        found += unasked.of(data[at : at + size])
    assert found + unasked.rest() == b"".join(part for part in parts if part not in ASKED)


def test_sizes_that_it_had() -> None:
    of = replayed(b"\x1b[?2004h", b"0123456789abcdef\r\n0123", [(0, 4, 12), (18, 6, 3)])
    assert (of.rows, of.cols) == (6, 3)
    assert text(of)[:4] == ["012", "cde", "012", "3"]
    assert of.modes.private == {2004: True}


def test_huge_figures_cost_little() -> None:
    of = Emulator(60_000, 60_000)
    of.feed(b"\x1b[99999999S\x1b[99999999b\x1b[99999999@\x1b[99999999L" * 100)
    assert (of.rows, of.cols) == (1000, 1000)
