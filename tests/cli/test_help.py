"""zaptrace help: each refusal has a topic, and its error says which."""

from __future__ import annotations

import ast
import re
import socket
import sys
from pathlib import Path

import pytest

from harness.shell import Shell
from harness.supervisors import eventually
from harness.world import ROOT
from zaptrace.cli._topics import TOPICS, page, topic_of

_RAISED = ("unsupported", "_unsupported", "UnsupportedResource", "Unsettled")


def refusals() -> list[str]:
    """The first words of each error of a thing that cannot be carried, as the sources have it."""
    found = []
    for path in sorted((ROOT / "zaptrace").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _RAISED:
                texts = [_text(argument) for argument in node.args]
                found += [text for text in texts if len(text.split()) > 3]
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
    return ""


def test_each_refusal_has_a_topic():
    texts = refusals()
    assert len(texts) > 60
    without = [text for text in texts if topic_of(text) is None]
    assert not without, "\n".join(without)


def test_each_topic_has_a_refusal():
    known = {topic.name for text in refusals() if (topic := topic_of(text))}
    assert {topic.name for topic in TOPICS} - known == {"nested"}
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_the_page_is_current():
    assert (ROOT / "docs" / "refused.md").read_text(encoding="utf-8") == page(), "make table"


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_a_topic_says_what_works_instead(zaptrace: Shell, topic: str):
    said = zaptrace("help", topic)
    assert said.returncode == 0
    assert "Instead: " in said.stdout
    assert max(map(len, said.stdout.splitlines())) < 80


def test_help_has_the_verbs_and_the_topics(zaptrace: Shell):
    said = zaptrace("help").stdout
    assert zaptrace("--help").stdout in said
    assert re.search(r"^  inotify +Watches of files", said, re.M)
    assert zaptrace("help", "restore").stdout == zaptrace("restore", "--help").stdout
    unknown = zaptrace("help", "nothing")
    assert unknown.returncode == 1 and "there is no topic 'nothing'" in unknown.stderr


def test_an_error_says_where_there_is_more(zaptrace: Shell, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket, time; s = socket.create_connection({server.getsockname()}); "
        code += "print('ready', flush=True); time.sleep(600)"
        zaptrace("run", "--name", "web", "-d", "--", sys.executable, "-c", code)
        eventually(lambda: zaptrace("logs", "web").stdout == "ready\n", "a connection")
        said = zaptrace("checkpoint", "web", "--to", str(tmp_path / "web.zap"))
        assert said.returncode == 4
        assert said.stderr.endswith("\n  more     zaptrace help tcp\n")


def test_a_program_is_run_for_a_moment_to_see_what_could_not_be_carried(zaptrace: Shell):
    assert zaptrace("check", "--for", "0.2", "--", "sleep", "600").stdout.startswith("yes")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}; sleep 600"
        said = zaptrace("check", "--for", "3", "--", "bash", "-c", connect)
    assert said.returncode == 1
    assert said.stdout.startswith("no") and "is a TCP connection" in said.stdout
    assert said.stdout.endswith("\n  more     zaptrace help tcp\n")
    ended = zaptrace("check", "--", "sh", "-c", "echo word; exit 3")
    assert ended.returncode == 1
    assert "exit status 3; it wrote: word" in ended.stderr
    assert zaptrace("check", "web", "--", "true").returncode == 2
    assert zaptrace("check", "--").returncode == 2
    assert zaptrace("ps", "--json").stdout.strip() == "[]", "none is left"


def test_a_pod_in_a_pod_says_why_not(zaptrace: Shell):
    said = zaptrace("run", "--", *zaptrace.command, "run", "--", "true")
    assert said.returncode == 125
    assert said.stderr.startswith("zaptrace: cannot start a pod in a pod")
    assert said.stderr.endswith("\n  more     zaptrace help nested\n")
