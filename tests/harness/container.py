"""Runs a command as a stock container's processes run: under its engine's seccomp profile.

    container.py [--deny CALL[@INDEX][:VALUE]=ERRNO]... COMMAND...

container_profile.json is seccomp/default.json of moby/profiles (Apache-2.0), June 2026: what Docker
and containerd give to a container without added capabilities. It is read as the engine reads it for
x86-64: rules that need a capability are off, comparisons of arguments are kept, and a call that no
rule names, one that no kernel has among them, is denied with EPERM. --deny takes more away (where the
argument with that index, 0 if it is not said, is VALUE), as older profiles do and kernels that lack
something.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

from zaptrace.linux.native import ffi, lib

_LD, _AND, _JEQ, _JGE, _JGT, _RET = 0x20, 0x54, 0x15, 0x35, 0x25, 0x06
_NR, _ARCH, _X86_64 = 0, 4, 0xC000003E
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_PR_SET_SECCOMP, _FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38

Insn = tuple[int, int, int, int]


def _holds(compared: dict[str, Any]) -> tuple[list[Insn], tuple[int, bool], int]:
    """Instructions that load an argument, the jump that compares it (and whether it has to hold)."""
    load: list[Insn] = [(_LD, 0, 0, 16 + 8 * compared["index"])]
    value = compared["value"] & 0xFFFFFFFF
    match compared["op"]:
        case "SCMP_CMP_MASKED_EQ":
            load.append((_AND, 0, 0, value))
            return load, (_JEQ, True), compared.get("valueTwo") or 0
        case "SCMP_CMP_EQ":
            return load, (_JEQ, True), value
        case "SCMP_CMP_NE":
            return load, (_JEQ, False), value
        case "SCMP_CMP_LT":
            return load, (_JGE, False), value
        case "SCMP_CMP_GT":
            return load, (_JGT, True), value
    raise ValueError(compared["op"])


def _block(number: int, rule: dict[str, Any]) -> list[Insn]:
    """One call of a rule: falls behind itself, with the number loaded, when the rule does not hold."""
    allowed = rule["action"] == "SCMP_ACT_ALLOW"
    body: list[Insn] = [(_RET, 0, 0, _ALLOW if allowed else _ERRNO | rule.get("errnoRet", 1))]
    for compared in reversed(rule.get("args") or []):
        load, (jump, wanted), value = _holds(compared)
        out = len(body)
        body = [*load, (jump, 0, out, value) if wanted else (jump, out, 0, value), *body]
    return [(_JEQ, 0, len(body), number), *body, (_LD, 0, 0, _NR)]


def _denials(words: list[str], numbers: dict[str, int]) -> list[Insn]:
    rows: list[Insn] = []
    for word in words:
        call, _, code = word.partition("=")
        name, _, value = call.partition(":")
        name, _, index = name.partition("@")
        rule: dict[str, Any] = {"action": "SCMP_ACT_ERRNO", "errnoRet": getattr(errno, code)}
        if value:
            compared = {"index": int(index or 0), "value": int(value, 0), "op": "SCMP_CMP_EQ"}
            rule["args"] = [compared]
        rows += _block(numbers[name], rule)
    return rows


def program(profile: dict[str, Any], denied: list[str]) -> list[Insn]:
    """The profile as classic BPF."""
    names = ((number, lib.zt_call_name(number)) for number in range(lib.zt_call_count()))
    numbers = {ffi.string(name).decode(): number for number, name in names if name}
    rows: list[Insn] = [
        (_LD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _X86_64),
        (_RET, 0, 0, _KILL),
        (_LD, 0, 0, _NR),
        *_denials(denied, numbers),
    ]
    for rule in profile["syscalls"]:
        needs, spares = rule.get("includes") or {}, rule.get("excludes") or {}
        if needs.get("caps") or "amd64" not in (needs.get("arches") or ["amd64"]):
            continue
        if "amd64" in (spares.get("arches") or []):
            continue
        for name in rule["names"]:
            if name in numbers:
                rows += _block(numbers[name], rule)
    return [*rows, (_RET, 0, 0, _ERRNO | profile.get("defaultErrnoRet", 1))]


def enter(denied: list[str]) -> None:
    """Put this process, and all that it executes, under the profile."""
    profile = json.loads(Path(__file__).with_name("container_profile.json").read_text())
    rows = program(profile, denied)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rows), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, fprog, 0, 0):
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    words, denied = sys.argv[1:], []
    while words[0] == "--deny":
        denied.append(words[1])
        del words[:2]
    enter(denied)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
