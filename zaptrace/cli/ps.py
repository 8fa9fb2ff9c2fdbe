"""zaptrace ps: list the pods, or the processes of one."""

from __future__ import annotations

import mmap
import shlex
import time
from typing import Any

import click

from ..errors import PodError, WireTimeout
from ..supervisor import runtime
from ..supervisor.unreached import call_back
from ._common import POD, as_json, connect, size, span, table, tell
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
    zaptrace ps -a             also those that ended, and how; what each has in memory, its last image
    zaptrace ps web            its processes; VPID is the number that the pod sees
    zaptrace ps --stats web    what it stopped for since it was started or restored here, and how often
    zaptrace ps --json         the same for programs

    Below the processes of POD it is said how much they have in memory, how many are attached, and which
    image was the last. What programs of POD asked for and no pod has (io_uring, ptrace, namespaces) is
    answered with an error on purpose; it is said how often, and whom.
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
    names = runtime.pods(runtime.root())
    found = [facts for name in names if (facts := _facts(name, as_json or all_))]
    found += [_lost(name, pid) for name, pid in lost]
    ended = _ended(found) if all_ else []
    if as_json:
        told = [f | {"memory": _memory(f)} if "processes" in f else f for f in found]
        print_json(told + ended)
        return
    fuller = all_ and bool(found)
    rows = [
        (
            facts["name"],
            facts["state"],
            _since(facts["meta"]),
            facts["meta"].get("stdio", "")
            + (f" ({facts['attached']} attached)" if facts.get("attached") else ""),
            *((size(_memory(facts)), _last_image(facts)) if fuller else ()),
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
            *(("", "" if "to" in past["outcome"] else _last_image(past)) if fuller else ()),
            "",
            shlex.join(past["meta"].get("argv") or [])[:60],
        )
        for past in ended
    ]
    more = ("MEMORY", "LAST IMAGE") if fuller else ()
    table(("NAME", "STATE", "SINCE", "STDIO", *more, "SUPERVISOR", "COMMAND"), rows)
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
        told = {k: v for k, v in facts.items() if k not in ("v", "id", "ok")}
        print_json(told | {"memory": _memory(facts)})
        return
    rows = [
        (p["vpid"], p["rpid"], p["ppid"], p["state"], _count(p.get("threads")), p["comm"])
        for p in processes
    ]
    table(("VPID", "RPID", "PPID", "STATE", "THREADS", "NAME"), rows)
    if processes:
        _about(facts)
    for one in facts.get("answered", ()):
        times = "once" if one["times"] == 1 else f"{one['times']} times"
        tell(f"answered {one['errno']}: {one['name']} {times} ({one['who']})")


def _about(facts: dict[str, Any]) -> None:
    last = _last_image(facts)
    tell(
        f"{size(_memory(facts))} in memory, {_since(facts['meta'])} old, {facts['attached']} attached, "
        + (f"last image {last}" if last else "no image yet")
    )


def _last_image(facts: dict[str, Any]) -> str:
    """ "" where there is none that is known."""
    last = (facts.get("images") or {}).get("last") or facts["meta"].get("last_image") or ""
    return str(last.get("image", "") if isinstance(last, dict) else last)


def _memory(facts: dict[str, Any]) -> int:
    return sum(map(_resident, facts.get("processes", ())))


def _resident(process: dict[str, Any]) -> int:
    """Bytes that it has in memory; what is shared counts for each."""
    try:
        with open(f"/proc/{process['rpid']}/statm", "rb") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):  # it has ended
        return 0


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
