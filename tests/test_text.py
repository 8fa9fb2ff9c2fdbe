"""What is printed of others commands no terminal, turns no line around, and forges none."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zaptrace.cli import _common, _tell
from zaptrace.errors import PodError, ZaptraceError
from zaptrace.limits import ERROR_TEXT
from zaptrace.log import log
from zaptrace.text import as_json, shown, shown_lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, with ø and 字", "plain, with ø and 字"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("abc\u202efed", r"abc\u{202e}fed"),
        ("\u2066x\u2069\u200b\u2028", r"\u{2066}x\u{2069}\u{200b}\u{2028}"),
        ("\udcff\ud800", r"\xff\u{d800}"),
        (b"/tmp/\xff\n", r"/tmp/\xff\x0a"),
    ],
)
def test_what_is_not_printable_is_an_escape(text: str | bytes, seen: str):
    assert shown(text) == seen


def test_a_further_line_looks_like_no_field():
    error = PodError("no\x1b[2J", found="x\n  changed  nothing; the pod runs on\r")
    assert str(error).splitlines() == [
        r"no\x1b[2J",
        "  found    x",
        "           changed  nothing; the pod runs on",
    ]
    assert shown_lines("one\ntwo") == "one\n           two"


def test_what_is_logged_is_fit_to_print(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="zaptrace"):
        log.warning("pod %s from %s", "\x1b[2Jweb", "x\nzaptrace: all is well")
    assert caplog.messages == ["pod \\x1b[2Jweb from x\n           zaptrace: all is well"]


def test_who_has_not_loaded_logging_does_not_get_it_from_us():
    """A place of ours is told all the same."""
    code = """if True:
        import sys
        from zaptrace.log import log
        log.to(lambda level, text: print(level, text), "warning")
        log.info("no")
        log.warning("%d of them", 3)
        log.error("100%")
        assert "logging" not in sys.modules
    """
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "WARNING 3 of them\nERROR 100%\n"
    assert done.stderr == ""


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_without_json(value: object):
    assert json.loads(as_json(value)) == value


def test_json_of_a_byte_that_is_no_utf8():
    assert json.loads(as_json({"argv": ["a\udcff"]})) == {"argv": ["a\udcff"]}


def test_so_is_what_verbs_print(capsys: pytest.CaptureFixture[str]):
    _common.table(("NAME",), [("\x1b[2J",), ("a\nb",)])
    _common.tell("\x07")
    _tell.say("\u202e")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["NAME", r"\x1b[2J", r"a\x0ab", r"\x07"]
    assert err == "zaptrace: \\u{202e}\n"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"class": "NativeError", "what": "x", "needed": "y"},
        {"class": ["x"], "what": None, "needed": 7, "found": b"x", "do": {"a": 1}},
        {"class": "RestoreError", "what": "x", "vpid": "seven", "stage": [], "resource": 1},
        {"class": "RestoreError", "what": "x", "vpid": True},
        {"class": "HostError", "what": "x" * 100_000, "remedy": "y" * 100_000},
        {"class": "InternalError", "what": "x", "report": 5},
        {"class": "_Shown", "what": "x"},
    ],
    ids=lambda told: str(told)[:40],
)
def test_an_error_of_a_peer_is_one_of_ours(told: dict):
    """`NativeError` had another constructor, and one such message made a server deaf."""
    error = ZaptraceError.from_dict(told)
    assert type(error).__module__ == "zaptrace.errors"
    assert len(error.what) <= ERROR_TEXT
    for name, value in error.to_dict().items():
        assert value is None or type(value) is (int if name == "vpid" else str), name
        assert len(str(value)) <= ERROR_TEXT
