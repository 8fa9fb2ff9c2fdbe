"""What a frozen pod looks like, so that before and after can be compared.

Everything is read from outside, through /proc, and told in the pod's own terms: vpids, not rpids;
"the third pipe", not an inode number. So a pod and its restored self should look the same, and what
differs was lost. A resource's own contents are its test program's business.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATUS = (
    "Umask", "Uid", "Gid", "Groups", "SigQ", "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd",
    "NoNewPrivs", "Seccomp", "CoreDumping", "THP_enabled",
)  # fmt: skip
IGNORED_STATUS = ("SigQ", "Seccomp")  # of the uid's, not the process's; ours, not the program's
IGNORED_FDINFO = ("mnt_id", "ino", "scm_fds", "clockid_offset", "tty-index")
MOVING_FDINFO = ("it_value",)  # goes on by itself
GONE = " (deleted)"
MAX_SAID = 12
_NUMBERED = re.compile(r"^(pipe|socket|anon_inode|/memfd:[^ ]*|/dev/zero|/SYSV\w+)")


@dataclass
class Snapshot:
    processes: dict[int, dict[str, Any]]  # by vpid
    rtids: list[int]


def plain(info: Any) -> dict[str, Any]:
    """A ProcessInfo as plain data, whatever kind of class it is."""
    if dataclasses.is_dataclass(info) and not isinstance(info, type):
        return dataclasses.asdict(info)
    return dict(info._asdict())


def take(pod: Any) -> Snapshot:
    """The pod has to be frozen."""
    infos = [plain(p) for p in pod.processes()]
    infos = [p for p in infos if os.path.exists(f"/proc/{p['rpid']}")]
    vpid_of = {p["rpid"]: p["vpid"] for p in infos}
    names = _Names()
    processes: dict[int, dict[str, Any]] = {}
    rtids: list[int] = []
    for info in sorted(infos, key=lambda p: p["vpid"]):
        proc = Path(f"/proc/{info['rpid']}")
        tids = sorted(map(int, os.listdir(proc / "task")))
        rtids += tids
        stat = _stat(proc)
        seen: dict[str, Any] = {
            "comm": stat["comm"],
            "zombie": stat["state"] == "Z",
            "parent": info["ppid"],
            "group": _as_vpid(stat["pgrp"], vpid_of),
            "session": _as_vpid(stat["session"], vpid_of),
            "terminal": stat["tty_nr"] != 0,
        }
        processes[info["vpid"]] = seen
        if seen["zombie"]:
            continue
        seen |= {
            "nice": stat["nice"],
            "exe": _link(proc / "exe"),
            "cwd": _link(proc / "cwd"),
            "root": _link(proc / "root"),
            "cmdline": (proc / "cmdline").read_bytes(),
            "limits": _limits(proc),
            "oom_score_adj": (proc / "oom_score_adj").read_text().strip(),
            "status": _status(proc),
            "fds": _fds(proc, names, vpid_of),
            "maps": _maps(proc, names),
            "threads": sorted(_thread(proc / "task" / str(tid)) for tid in tids),
        }
    return Snapshot(processes, rtids)


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """In words; empty where the two are the same."""
    said: list[str] = []
    _compare("", before.processes, after.processes, said)
    return said if len(said) <= MAX_SAID else [*said[:MAX_SAID], f"and {len(said) - MAX_SAID} more"]


def _compare(where: str, before: Any, after: Any, said: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}, key=str):
            inner = f"{where} {key}".strip() if where else f"process {key}"
            if key not in after:
                said.append(f"{inner}: is gone; was {before[key]!r}"[:600])
            elif key not in before:
                said.append(f"{inner}: is new: {after[key]!r}"[:600])
            else:
                _compare(inner, before[key], after[key], said)
    elif isinstance(before, list) and isinstance(after, list):
        said += [f"{where}: lost {item}"[:600] for item in before if item not in after]
        said += [f"{where}: has more: {item}"[:600] for item in after if item not in before]
        if len(before) != len(after):
            said.append(f"{where}: were {len(before)}, are {len(after)}")
    elif before != after:
        said.append(f"{where}: was {before!r}, is {after!r}"[:600])


class _Names:
    """Numbers objects without a path in the order of their first appearance."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def of(self, link: str, identity: str) -> str:
        kind = re.sub(r"\[\d+\]", "", link)
        if not _NUMBERED.match(link) or link.startswith("anon_inode"):
            return kind if link.startswith(("pipe", "socket")) else link
        if identity not in self._seen:
            self._count[kind] = self._count.get(kind, 0) + 1
            self._seen[identity] = f"{kind} {self._count[kind]}"
        return self._seen[identity]

    def nameless(self, what: str, inode: str) -> str:
        """An inode without a name; the same number wherever it is open or mapped."""
        if inode not in self._seen:
            self._count[""] = self._count.get("", 0) + 1
            self._seen[inode] = f"#{self._count['']}"
        return f"deleted {what} {self._seen[inode]}"


def _living(shown: str, device: int, inode: int) -> str | None:
    """A name of a file of which the kernel shows one that is gone, if it has one nearby."""
    top = os.path.dirname(shown)
    for home, _, files in os.walk(top):
        for name in files:
            path = os.path.join(home, name)
            there = os.lstat(path)
            if (there.st_dev, there.st_ino) == (device, inode):
                return path
    return None


def _fds(proc: Path, names: _Names, vpid_of: dict[int, int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number in sorted(map(int, os.listdir(proc / "fd"))):
        try:
            link = os.readlink(proc / "fd" / str(number))
            text = (proc / "fdinfo" / str(number)).read_text()
        except FileNotFoundError:
            continue
        info: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, _, value = line.partition(":")
            if key.strip() not in (*IGNORED_FDINFO, *MOVING_FDINFO):
                info.setdefault(key.strip(), []).append(_stable(key.strip(), value.strip()))
        if found_in := re.match(r"/proc/(\d+)(/.*|$)", link):
            link = f"/proc/{_as_vpid(int(found_in[1]), vpid_of)}{found_in[2]}"
        link = re.sub(r"/#\d+ \(deleted\)$", "/#* (deleted)", link)  # O_TMPFILE: an inode number
        link = link.removesuffix(".zt-next")  # a socket's file, which has its name from the thaw on
        is_ = ""
        if link.endswith(GONE) and link.startswith("/"):
            status = os.stat(proc / "fd" / str(number))
            identity = f"{status.st_dev}:{status.st_ino}"
            memory = link.startswith("/memfd:")
            living = None if memory else _living(link, status.st_dev, status.st_ino)
            # Made again it may have another name, that is none either.
            is_ = living or names.nameless(link if memory else "file", identity)
        if link.startswith("/dev/pts/"):
            link = "/dev/pts/*"
        if link.startswith(("socket:", "pipe:")):
            info.pop("pos", None)
        if link == "/dev/null":  # where a supervisor's stdio may stand in for what was there
            info.pop("flags", None)
        found[number] = {
            "is": is_ or names.of(link, link),
            **{k: sorted(v) for k, v in info.items()},
        }
    return found


def _stable(key: str, value: str) -> str:
    if key in ("tfd", "inotify wd"):  # epoll and inotify lines name inodes and devices of this host
        return re.sub(r"\b(ino|sdev|pos|f_handle|fhandle-\w+):\s*\S+", "", value)
    if key == "lock":  # "1: POSIX ADVISORY WRITE 123 fe:00:4567 0 EOF", with the holder's rpid
        words = value.split()
        return " ".join([*words[1:4], *words[6:]])
    if key in ("eventfd-id", "Pid", "NSpid"):
        return "*"
    return value


def _maps(proc: Path, names: _Names) -> list[str]:
    """Neighbours that only history keeps apart are joined; inode numbers are left out."""
    joined: list[list[Any]] = []
    for line in (proc / "maps").read_text().splitlines():
        span, perms, offset, device, inode, *rest = line.split(None, 5)
        start, end = (int(part, 16) for part in span.split("-"))
        name = rest[0] if rest else ""
        if name in ("[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"):
            continue
        if name.endswith(GONE):  # memory without a path may have another name for none
            number = os.makedev(*(int(part, 16) for part in device.split(":")))
            what = name.removesuffix(GONE).rpartition("/")[2].replace("memfd:", "")
            memory = name.startswith(("/memfd:", "/dev/zero", "/SYSV"))
            living = None if memory else _living(name, number, int(inode))
            name = living or names.nameless(what, f"{number}:{inode}")
        anonymous = inode == "0" and not name.startswith("[stack")
        if last := joined and joined[-1]:
            follows = last[1] == start and last[2] == perms and last[4] == name
            if follows and (anonymous or int(offset, 16) - last[3] == start - last[0]):
                last[1] = end
                continue
        joined.append([start, end, perms, 0 if anonymous else int(offset, 16), name])
    return [
        f"{s:x}-{e:x} {perms} {offset:x} {name}".rstrip() for s, e, perms, offset, name in joined
    ]


def _status(proc: Path) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return {k: lines[k].strip() for k in STATUS if k in lines and k not in IGNORED_STATUS}


def _thread(task: Path) -> tuple[str, str, str]:
    lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
    return (lines["Name"].strip(), lines["SigBlk"].strip(), lines["SigPnd"].strip())


def _limits(proc: Path) -> dict[str, str]:
    lines = (proc / "limits").read_text().splitlines()[1:]
    return {line[:26].strip(): " ".join(line[26:].split()) for line in lines}


def _stat(proc: Path) -> dict[str, Any]:
    comm, _, rest = (proc / "stat").read_text().partition("(")[2].rpartition(")")
    f = rest.split()
    return {
        "comm": comm, "state": f[0], "pgrp": int(f[2]), "session": int(f[3]), "tty_nr": int(f[4]),
        "nice": int(f[16]),
    }  # fmt: skip


def _as_vpid(rpid: int, vpid_of: dict[int, int]) -> int | str:
    return vpid_of.get(rpid, "outside the pod or gone")


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError as error:
        return error.strerror or "?"
