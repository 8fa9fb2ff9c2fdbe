"""zaptrace ps: list the pods, or the processes of one."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from ..errors import PodError, WireTimeout
from ..supervisor import runtime
from ..supervisor.unreached import call_back
from ._common import POD, as_json, connect, span, table, tell
from ._tell import print_json, say
from ._which import TakesPod

_PATIENCE_S = 3.0


@click.command(cls=TakesPod)
@click.argument("pod", type=POD, required=False)
@click.option("-a", "--all", "all_", is_flag=True, help="Those that ended, too, and how.")
@click.option("--stats", is_flag=True, help="How often POD stopped for the tracer, by system call.")
@as_json
def command(pod: str | None, all_: bool, stats: bool, as_json: bool) -> None:
    """List the pods, or the processes of POD.

    \b
    zaptrace ps                every pod of this user on this host
    zaptrace ps -a             also those that ended: how, and to which image
    zaptrace ps web            its processes; VPID is the number that the pod sees
    zaptrace ps --stats web    what it stopped for since it was started or restored here, and how often
    zaptrace ps --json         the same for programs

    What programs of POD asked for and no pod has (io_uring, ptrace, namespaces) is answered with an
    error on purpose; below the processes it is said how often, and whom.
    """
    if stats:
        if pod is None:
            raise click.UsageError("--stats wants a POD")
        _stats(pod, as_json)
        return
    if pod is not None:
        _one(pod, as_json)
        return
    lost = call_back(runtime.root())
    found = [facts for name in runtime.pods(runtime.root()) if (facts := _facts(name, as_json))]
    found += [_lost(name, pid) for name, pid in lost]
    ended = _ended(found) if all_ else []
    if as_json:
        print_json(found + ended)
        return
    rows = [
        (
            facts["name"],
            facts["state"],
            _since(facts["meta"]),
            facts["meta"].get("stdio", "")
            + (f" ({facts['attached']} attached)" if facts.get("attached") else ""),
            facts["meta"].get("supervisor", ""),
            shlex.join(facts["meta"].get("argv") or [])[:60],
        )
        for facts in found
    ]
    rows += [
        (
            past["name"],
            runtime.describe_end(past["outcome"]),
            span(max(0.0, time.time() - past["outcome"].get("written", time.time()))),
            past["meta"].get("stdio", ""),
            "",
            shlex.join(past["meta"].get("argv") or [])[:60],
        )
        for past in ended
    ]
    table(("NAME", "STATE", "SINCE", "STDIO", "SUPERVISOR", "COMMAND"), rows)
    for name, pid in lost:
        say(
            f"pod {name} runs, and what it is found by was removed; its supervisor cannot make that again"
            f" now: does another pod have its name? kill {pid} ends it, and its pod"
        )


def _lost(name: str, pid: int) -> dict[str, Any]:
    return {"name": name, "state": "unreachable", "meta": {"supervisor": pid}, "attached": 0}


def _since(meta: dict[str, Any]) -> str:
    return span(time.time() - meta["started"]) if "started" in meta else ""


def _ended(running: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are over: what a checkpoint stopped and was restored since runs, by whatever name."""
    base = runtime.root()
    names = {facts["name"] for facts in running}
    restored = {facts["meta"].get("image") for facts in running} - {None}
    found = []
    for name in runtime.ended_names(base):
        past = runtime.ended(name, base)
        if past is not None and name not in names and past.get("to") not in restored:
            meta = runtime.ended_meta(past)
            told = {key: value for key, value in past.items() if key != "meta"}
            found.append({"name": name, "state": "ended", "meta": meta, "outcome": told})
    return found


def _facts(name: str, processes: bool) -> dict[str, Any] | None:
    """What the supervisor says; what is known without it when it does not say; None when gone."""
    try:
        with connect(name) as client:
            facts = client.call("status", processes=processes, timeout=_PATIENCE_S)
    except PodError:
        return None
    except WireTimeout:
        meta = runtime.read_meta(runtime.root() / name)
        return {"name": name, "state": "no answer", "meta": meta, "attached": 0}
    return {k: v for k, v in facts.items() if k not in ("v", "id", "ok")}


def _one(pod: str, as_json: bool) -> None:
    with connect(pod) as client:
        facts = client.call("status", processes=True)
    processes = facts["processes"]
    if as_json:
        print_json({k: v for k, v in facts.items() if k not in ("v", "id", "ok")})
        return
    rows = [
        (p["vpid"], p["rpid"], p["ppid"], p["state"], _count(p.get("threads")), p["comm"])
        for p in processes
    ]
    table(("VPID", "RPID", "PPID", "STATE", "THREADS", "NAME"), rows)
    for one in facts.get("answered", ()):
        times = "once" if one["times"] == 1 else f"{one['times']} times"
        tell(f"answered {one['errno']}: {one['name']} {times} ({one['who']})")


def _stats(pod: str, as_json: bool) -> None:
    with connect(pod) as client:
        facts = client.call("stats")
    if as_json:
        print_json({k: v for k, v in facts.items() if k not in ("v", "id", "ok")})
        return
    table(("STOPS", "WHY"), [(n, why) for why, n in facts["stops"].items() if n])
    if facts["calls"]:
        click.echo()
        rows = [(c["entered"], c["left"], c["answered"], c["name"]) for c in facts["calls"]]
        table(("IN", "OUT", "ANSWERED", "CALL"), rows)


def _count(threads: Any) -> int:
    return threads if isinstance(threads, int) else len(threads or ())
