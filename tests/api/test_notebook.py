"""%load_ext zaptrace, with a real kernel in a pod and a real client outside of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import zaptrace
from harness.hosts import free_port
from harness.supervisors import eventually
from harness.world import ROOT

PATIENCE_S = 60


@pytest.fixture(autouse=True, scope="module")
def loop() -> None:
    """What all clients of a thread wait with is there before the first test: it keeps three files."""
    pytest.importorskip("jupyter_core.utils").ensure_event_loop()


@pytest.fixture(params=["ipc", "tcp"])
def client(request: pytest.FixtureRequest, home: Path) -> Iterator:
    """Of a kernel in pod nb."""
    pytest.importorskip("jupyter_client", reason="pip install 'zaptrace[test]'")
    pytest.importorskip("ipykernel", reason="pip install 'zaptrace[test]'")
    kinds = ("shell", "iopub", "stdin", "control", "hb")
    ports = {f"{kind}_port": n for n, kind in enumerate(kinds, 1)}
    if request.param == "tcp":
        ports = {name: free_port() for name in ports}
    ip = "127.0.0.1" if request.param == "tcp" else str(home / "nb-ipc")
    facts = {"transport": request.param, "ip": ip, "key": "zt", **ports}
    facts |= {"signature_scheme": "hmac-sha256", "kernel_name": ""}
    (home / "nb.json").write_text(json.dumps(facts))
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", str(home / "nb.json")]
    argv += ["--HistoryManager.enabled=False"]
    argv += ["-c", f"import sys; sys.path.append({str(ROOT)!r})"]
    # What a kernel keeps for its user goes away with the test.
    env = {**os.environ, "HOME": str(home), "IPYTHONDIR": f"{home}/ipython"}
    zaptrace.launch(argv, name="nb", cwd=home, env=env)
    with connected(home / "nb.json") as client:
        hears(client)
        yield client


@contextlib.contextmanager
def connected(file: Path) -> Iterator:
    from jupyter_client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    try:
        yield client
    finally:
        client.stop_channels()


def run(client, code: str, patience: float = PATIENCE_S) -> str:
    """What it prints, as it succeeds."""
    status, said = execute(client, code, patience)
    assert status == "ok", said
    return said


def fails(client, code: str) -> str:
    """What it prints, as it does not."""
    status, said = execute(client, code, PATIENCE_S)
    assert status == "error" and "Traceback" not in said, said
    return said


def execute(client, code: str, patience: float) -> tuple[str, str]:
    said: list[str] = []

    def hear(message: dict) -> None:
        content = message["content"]
        said.append(content.get("text", "") + "\n".join(content.get("traceback", [])))

    reply = client.execute_interactive(code, timeout=patience, output_hook=hear)
    return reply["content"]["status"], "".join(said)


def test_a_kernel_goes_back_to_what_it_was(client, home: Path):
    run(client, "%load_ext zaptrace")
    run(client, "x = 1")
    assert f"{home}/one.zap: " in run(client, "%checkpoint one")
    assert run(client, "x += 1; print(x)") == "2\n", "it goes on, and whoever was connected is"
    before = zaptrace.connect("nb")
    client.execute("%rollback")
    eventually(lambda: zaptrace.pods() not in ([before], []), "the pod of the image")
    hears(client)
    assert run(client, "print(x)") == "1\n"
    run(client, "x = 7")
    assert f"{home}/one.zap: " in run(client, "%checkpoint one"), "the restored one can do so, too"
    assert "UsageError: zaptrace: " in fails(client, "%rollback nothing")
    assert run(client, "print(x)") == "7\n"


def test_a_branch_is_a_second_kernel(client, home: Path):
    """It has what the first one had, and each goes its own way; so does a branch of the branch."""
    run(client, "%load_ext zaptrace")
    run(client, "x = [1]")
    told = run(client, "%branch second")
    assert told == f"second: jupyter console --existing {home}/second.json\n"
    with connected(home / "second.json") as second:
        hears(second)
        assert [pod.name for pod in zaptrace.pods()] == ["nb", "second"]
        run(second, "x.append(2)")
        run(client, "x.append('one')")
        assert run(second, "print(x)") == "[1, 2]\n"
        assert run(client, "print(x)") == "[1, 'one']\n"
        assert "is there already" in fails(second, "%branch second")
        info = run(second, "from ipykernel.connect import get_connection_info as i; print(i())")
        assert json.loads(info) == json.loads((home / "second.json").read_text())
        told = run(second, "%branch")
        name = told.partition(":")[0]
        with connected(home / f"{name}.json") as third:
            hears(third)
            assert run(third, "print(x)") == "[1, 2]\n"
        run(second, "x.append(3)")
        assert run(second, "print(x)") == "[1, 2, 3]\n"
    assert run(client, "print(x)") == "[1, 'one']\n", "the first one goes on"


def hears(client) -> None:
    """Until it is connected, on both ways: what was said before is forgotten."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline, "the kernel does not answer"
        with contextlib.suppress(queue.Empty, TimeoutError):
            if run(client, "print('here')", 2) == "here\n":
                return


def test_where_there_is_no_pod_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]):
    from zaptrace.notebook import Magics

    with pytest.raises(zaptrace.ZaptraceError, match="in no pod"):
        Magics().checkpoint("one")
