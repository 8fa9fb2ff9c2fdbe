"""Turn the rows of syscalls.py into C: the dispatch table, the hooks' declarations, the filters.

    zt_hooks.h     every hook that a room must define
    zt_tables.h    zt_rows[]: what to do at a stop, by number       (one C file includes it)
    zt_filter.h    zt_filter_fresh[], _moved[], ...: which calls stop at all (gen_filter.py)

They are made in the build and never committed: `python csrc/gen_tables.py OUT_DIR`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from gen_filter import filter_header
from gen_hooks import GENERATED, hooks_header, shared_header
from syscalls import (
    ROWS,
    TABLE,
    WAIT_DETACHED,
    Answer,
    ArgIs,
    Hook,
    On,
    Part,
    Pass,
    Refuse,
    Row,
    Share,
    Translate,
)

# -- the dispatch table ----------------------------------------------------------------------------

CLASSES = {
    Pass: "ZT_PASS",
    Translate: "ZT_TRANSLATE",
    Answer: "ZT_ANSWER",
    Hook: "ZT_HOOK",
    Share: "ZT_HOOK",
    Refuse: "ZT_REFUSE",
}


def _is(condition: ArgIs) -> str:
    return f"{{ {condition.arg}, {condition.mask:#x}, {condition.value:#x} }}"


def _part(part: Part) -> str:
    members = {"shape": part.shape.value, "at": part.at, "size": part.size, "fd": part.fd}
    if part.on:
        members["on"] = " | ".join(f"ZT_ON_{kind.name}" for kind in On if kind in part.on)
    if part.when:
        members["when"] = _is(part.when)
    if part.receives:
        members["receives"] = "true"
    if part.flags is not None:
        members |= {"has_flags": "true", "flags": part.flags, "also": part.also}
    if part.drop:
        members["drop"] = f"0x{sum(1 << arg for arg in part.drop):02x}"
    if part.noted:
        members["noted"] = "true"
    inside = ", ".join(f".{member} = {value}" for member, value in members.items() if value != 0)
    return f"{{ {inside} }}"


def _initialiser(row: Row) -> str:
    """One row of zt_rows[], with only the members that are not 0."""
    members = {"name": f'"{row.name}"', "class": CLASSES[type(row.behaviour)]}
    if row.is_looked(moved=False) or row.looks_if:
        members["looked"] = "true"
    if row.moved:
        members["moved"] = "true"
    if row.exit_moved:
        members["exit_moved"] = "true"
    match row.behaviour:
        case Refuse(errno=name):
            members["refuse_errno"] = name
        case Translate(args=args, result=result):
            if args:
                members["arg_ids"] = f"0x{sum(1 << arg for arg in args):02x}"
            if result:
                members["result_id"] = "true"
    if row.enter:
        members["enter"] = row.enter
    if row.exit:
        members["exit"] = row.exit
    if row.timeout:
        span = f", {_is(row.timeout.span)}" if row.timeout.span else ""
        members["timeout"] = f"{{ {row.timeout.unit.value}, {row.timeout.arg}{span} }}"
    if row.eintr:
        members["eintr"] = "true"
    if row.queue:
        members["queue"] = "true"
    if row.queue or row.eintr or row.timeout or row.name in WAIT_DETACHED:
        members["waits"] = "true"
    if row.part:
        members["part"] = _part(row.part)
    inside = ", ".join(f".{member} = {value}" for member, value in members.items())
    return f"\t[{row.x86_64}] = {{ {inside} }},"


def tables_header(rows: Iterable[Row] = ROWS) -> str:
    rows = sorted(rows, key=lambda row: row.x86_64)
    return "\n".join(
        [
            GENERATED,
            "#pragma once",
            "",
            "#include <errno.h>",
            "#include <stdbool.h>",
            "",
            '#include "zt_hooks.h" /* and pod/call.h before it, for the types */',
            '#include "zt_shared.h"',
            "",
            f"#define ZT_NR_COUNT {rows[-1].x86_64 + 1}",
            "",
            "/* By number; one that is not served has no name. */",
            "static const struct zt_row zt_rows[ZT_NR_COUNT] = {",
            *map(_initialiser, rows),
            "};",
            "",
        ]
    )


# -- the support table, and the door ---------------------------------------------------------------


def _where(row: Row) -> str:
    if row.senders:
        return " (in restored pods that ask for senders)"
    if row.addresses:
        kept = (
            ", and where connections were looked at before they were accepted" if row.kept else ""
        )
        return f" (in restored pods whose connections have other addresses{kept})"
    if not row.moved:
        return ""
    return " (always in restored pods)" if row.unmoved else " (in restored pods)"


def _in_words(row: Row) -> str:
    match row.behaviour:
        case Pass():
            what = "runs untouched"
        case Translate(args=args, result=result):
            swapped = [f"argument {arg + 1}" for arg in args] + (["the result"] if result else [])
            what = "ids translated: " + ", ".join(swapped)
        case Answer():
            what = "answered by zaptrace"
        case Hook() | Share():
            what = "looked at " + " and ".join(
                ["before"] * bool(row.enter) + ["after"] * bool(row.exit)
            )
        case Refuse(errno=name):
            what = f"refused: `{name}`"
    return what + _where(row)


def support_table() -> str:
    """What a pod does with every call, in Markdown, by room."""
    lines = []
    for room in TABLE:
        lines += [f"## {room.title}", ""]
        noted = [row for row in room.rows if row.note]
        if noted:
            lines += ["| call | in a pod | why |", "| --- | --- | --- |"]
            lines += [f"| `{row.name}` | {_in_words(row)} | {row.note} |" for row in noted]
            lines.append("")
        plain = [f"`{row.name}`" for row in room.rows if not row.note]
        if plain:
            lines += ["Untouched: " + " ".join(plain), ""]
    return "\n".join(lines)


def generate(out_dir: str | Path) -> None:
    """Write zt_hooks.h, zt_shared.h, zt_tables.h and zt_filter.h into `out_dir`."""
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "zt_hooks.h").write_text(hooks_header())
    (out / "zt_shared.h").write_text(shared_header())
    (out / "zt_tables.h").write_text(tables_header())
    (out / "zt_filter.h").write_text(filter_header())


if __name__ == "__main__":
    generate(sys.argv[1])
