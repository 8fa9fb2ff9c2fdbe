"""The C declarations of the hooks that the rows of csrc/syscalls.py name, and who asks which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from syscalls import ROWS, Row, Share

GENERATED = "/* Made by csrc/gen_tables.py from csrc/syscalls.py. Do not edit. */\n"


def _hooks(row: Row) -> Iterator[tuple[str, str]]:
    """The (type, name) of each function that rooms have to define for a row."""
    if isinstance(row.behaviour, Share):
        for room, hook in row.behaviour.hooks.items():
            if hook.enter:
                yield "zt_verdict", f"zt_{row.name}_{room}_enter"
            if hook.exit:
                yield "void", f"zt_{row.name}_{room}_exit"
        return
    if row.enter:
        yield "zt_verdict", row.enter
    if row.exit:
        yield "void", row.exit


def _shared(row: Row, share: Share) -> list[str]:
    """The functions of a row that asks the room whose call it is."""
    lines = []
    halves = (("enter", "zt_verdict", "return "), ("exit", "void", ""))
    for half, kind, give in halves:
        rooms = [room for room, hook in share.hooks.items() if getattr(hook, half)]
        if not rooms:
            continue
        head = (
            f"zt_{row.name}_{half}(struct zt_pod *pod, struct zt_task *task, struct zt_call *call)"
        )
        lines += [f"static {kind} {head}", "{", f"\tswitch ((uint32_t)call->asked[{share.arg}]) {{"]
        for room in rooms:
            lines += [f"\tcase {value:#x}:" for value in share.values[room]]
            lines.append(f"\t\t{give}zt_{row.name}_{room}_{half}(pod, task, call);")
            lines += [] if give else ["\t\treturn;"]
        lines += ["\t}", *(["\treturn ZT_GO;"] if give else []), "}", ""]
    return lines


def shared_header(rows: Iterable[Row] = ROWS) -> str:
    """Calls that several rooms look at: which of them, says an argument."""
    lines = [GENERATED, "#pragma once", ""]
    for row in rows:
        if isinstance(row.behaviour, Share):
            lines += _shared(row, row.behaviour)
    return "\n".join(lines)


def hooks_header(rows: Iterable[Row] = ROWS) -> str:
    declarations = [
        f"{kind} {name}(struct zt_pod *, struct zt_task *, struct zt_call *);"
        for row in rows
        for kind, name in _hooks(row)
    ]
    return "\n".join(
        [
            GENERATED,
            "#pragma once",
            "",
            "struct zt_pod;",
            "struct zt_task;",
            "struct zt_call;",
            "",
            *declarations,
            "",
        ]
    )
