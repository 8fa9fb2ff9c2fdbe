"""zaptrace show: print what is in an image."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..resources.memory.runs import unpack
from ._common import IMAGE, as_json, several, size, tell
from ._tell import print_json
from ._which import TakesImage

if TYPE_CHECKING:
    from ..image.image import Image

_WIDEST = 120
"""Columns that a deep tree is moved to the right."""

States = dict[str, list[dict[str, Any]]]


@click.command(cls=TakesImage)
@click.argument("image", type=IMAGE)
@click.option("-s", "--short", is_flag=True, help="Only the facts, the sizes and the tree.")
@click.option(
    "--scrollback", is_flag=True, help="With --json: also what was written to its terminal."
)
@as_json
def command(image: str, short: bool, scrollback: bool, as_json: bool) -> None:
    """Print what is in IMAGE: its processes, their memory maps and files, and sizes.

    \b
    zaptrace show web.zap
    zaptrace show web.zap --short
    zaptrace show web.zap --json | jq '.states.process[].comm'

    The image is verified first: every byte is compared with its checksum.
    """
    from ..image.image import Image
    from ..pod.contents import read
    from ..resources.room import encode_state

    with Image.open(image) as opened:
        found = read(opened)
        states: States = {room.NAME: encode_state(states) for room, states in found.rooms}
        if as_json:
            if not scrollback:
                _leave_out_scrollback(states)
            print_json({"image": opened.directory, **opened.manifest, "states": states})
            return
        _facts(opened)
        _tree(states)
        if not short:
            _processes(states)


def _leave_out_scrollback(states: States) -> None:
    """It may hold what nobody wants in a file by accident, and a MiB of it."""
    for terminal in states.get("tty", []):
        if terminal.get("scrollback") is not None:
            terminal["scrollback"] = "left out, see --scrollback"


def _facts(image: Image) -> None:
    manifest = image.manifest
    pod, host = manifest.get("pod") or {}, manifest.get("host") or {}
    stored = sum(part.stored for part in image.parts.values())
    plain = sum(part.size for part in image.parts.values())
    codecs = sorted({part.codec for part in image.parts.values() if part.codec})
    rows = {
        "image": f"{image.directory}, format {manifest.get('format')}, verified",
        "pod": f"{pod.get('name')}: {several(pod.get('processes') or 0, 'process', 'processes')}, "
        + several(pod.get("threads") or 0, "thread"),
        "created": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(manifest.get("created"))),
        "host": f"{host.get('node')}, Linux {host.get('kernel')}, {host.get('machine')}",
        "size": size(stored)
        + (f" ({size(plain)} before {', '.join(codecs)})" if codecs else "")
        + f" in {len(image.parts)} parts",
    }
    for key, value in rows.items():
        tell(f"{key:<8} {value}")
    biggest = sorted(image.parts.items(), key=lambda item: -item[1].stored)
    for name, part in biggest[:8]:
        click.echo(f"{'':<8} {size(part.stored):>10}  {name}")
    if len(biggest) > 8:
        rest = sum(part.stored for _, part in biggest[8:])
        click.echo(f"{'':<8} {size(rest):>10}  {len(biggest) - 8} more")


def _tree(states: States) -> None:
    processes = states.get("process", [])
    threads: dict[int, int] = {}
    for state in states.get("thread", []):
        threads[state["vpid"]] = threads.get(state["vpid"], 0) + 1
    known = {p["vpid"] for p in processes}
    children: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for process in processes:
        children[process["ppid"] if process["ppid"] in known else 0].append(process)
    click.echo("\ntree")
    waiting = [(process, "") for process in reversed(children[0])]
    while waiting:
        process, indent = waiting.pop()
        below = children[process["vpid"]]
        last = process is children[process["ppid"] if process["ppid"] in known else 0][-1]
        count = threads.get(process["vpid"], 1)
        notes = [
            "zombie" if process["zombie"] else "",
            f"{count} threads" if count > 1 else "",
            f"group {process['pgid']}" if process["pgid"] != process["vpid"] else "",
            f"session {process['sid']}" if process["sid"] != process["vpid"] else "",
        ]
        text = ", ".join(note for note in notes if note)
        tell(
            f"{indent}{'└─' if last else '├─'} {process['vpid']} {process['comm']}"
            + (f"  ({text})" if text else "")
        )
        further = (indent + ("   " if last else "│  "))[:_WIDEST]
        waiting += [(one, further) for one in reversed(below)]


def _processes(states: States) -> None:
    kinds = dict(_kinds(states))
    memory = {s["vpid"]: s for s in states.get("memory", [])}
    tables = {s["vpid"]: s["entries"] for s in states.get("fdtable", [])}
    for process in states.get("process", []):
        vpid = process["vpid"]
        click.echo()
        tell(f"process {vpid} {process['comm']}")
        if process.get("zombie"):
            continue
        tell(f"  exe    {os.fsdecode(process['executable']['path'])}")
        tell(f"  cwd    {os.fsdecode(process['cwd'])}")
        for entry in tables.get(vpid, []):
            cloexec = "  (cloexec)" if entry.get("cloexec") else ""
            what = kinds.get(entry["file_id"], "?")
            tell(f"  fd {entry['fd']:>3} {what}{cloexec}")
        mappings = memory.get(vpid, {}).get("mappings", [])
        saved = sum(_saved(m) for m in mappings)
        click.echo(f"  maps   {len(mappings)}, {size(saved)} in the image")
        for m in mappings:
            tell(f"    {_mapping(m)}")


def _mapping(m: dict[str, Any]) -> str:
    letters = "".join(c if m["protection"] & 1 << bit else "-" for bit, c in enumerate("rwx"))
    letters += "s" if m.get("shared") else "p"
    name = os.fsdecode(m["path"]) or (f"[{m['name']}]" if m.get("name") else "")
    saved = _saved(m)
    return (
        f"{m['start']:012x}-{m['end']:012x} {letters} {size(m['end'] - m['start']):>10} "
        f"{size(saved) if saved else '-':>10}  {name}"
    ).rstrip()


def _saved(m: dict[str, Any]) -> int:
    return sum(run.end - run.start for run in unpack(m["runs"], m["start"], m["end"]))


def _kinds(states: States) -> Iterator[tuple[int, str]]:
    """What each open file description is, for people: whatever its room, by the ids in it."""
    for room, found in states.items():
        if room == "fdtable":
            continue
        for state in found:
            for file_id, part in _ids(state):
                yield file_id, " ".join(word for word in (room, _words(state, part)) if word)


def _ids(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(value, dict):
        if isinstance(value.get("file_id"), int):
            yield value["file_id"], value
        for inner in value.values():
            yield from _ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _ids(inner)


_TELLING = ("slot", "path", "name", "status", "side", "index", "pos", "count", "size", "local")


def _words(state: dict[str, Any], part: dict[str, Any]) -> str:
    """The fields that tell one file from another, where a State has them."""
    words = []
    for key in _TELLING:
        value = part.get(key, state.get(key))
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        if value is None or value == "" or (isinstance(value, int) and not value):
            continue
        if isinstance(value, dict):
            value = ":".join(str(v) for v in value.values())
        words.append(str(value) if key in ("slot", "path", "status", "side") else f"{key} {value}")
    return " ".join(words)
