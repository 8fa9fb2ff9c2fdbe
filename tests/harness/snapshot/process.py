"""What /proc shows of a process as a whole: kinship, status, limits, layout, and its small files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from harness.snapshot import getters, memory
from harness.snapshot.look import Look
from zaptrace.linux.native import ffi, lib

VERBATIM = (
    "cmdline", "environ", "auxv", "oom_score_adj", "coredump_filter", "personality",
    "setgroups", "uid_map", "gid_map", "projid_map", "timens_offsets",
)  # fmt: skip
"""Files that are compared byte for byte."""

ELSEWHERE = {
    "fd": "files", "fdinfo": "files", "smaps": "memory", "numa_maps": "memory", "maps": "memory",
    "task": "threads", "timers": "here", "status": "here", "stat": "here", "comm": "threads",
    "limits": "here", "cwd": "here", "exe": "here", "root": "here", "ns": "here", "attr": "here",
    "timerslack_ns": "threads: PR_GET_TIMERSLACK", "ksm_stat": "here",
}  # fmt: skip
"""Files that are compared, and by what."""

IGNORED_FILES = {
    "arch_status": "how long ago AVX-512 was used",
    "autogroup": "a number of the host's scheduler",
    "cgroup": "where the host put the supervisor",
    "cpuset": "where the host put the supervisor",
    "clear_refs": "is only written to",
    "io": "counts on",
    "ksm_merging_pages": "the work of a kernel thread; that it may merge is PR_GET_MEMORY_MERGE",
    "latency": "counts on",
    "loginuid": "of the host's login",
    "sessionid": "of the host's login",
    "make-fail-nth": "fault injection of the kernel's developers",
    "fail-nth": "fault injection of the kernel's developers",
    "map_files": "needs a capability; maps says the same",
    "mem": "contents",
    "mountinfo": "of the mount namespace, the supervisor's",
    "mounts": "of the mount namespace, the supervisor's",
    "mountstats": "of the mount namespace, the supervisor's",
    "net": "of the network namespace, the supervisor's",
    "oom_adj": "oom_score_adj in old clothes",
    "oom_score": "depends on the host's memory",
    "pagemap": "which pages are resident: sums are in smaps",
    "patch_state": "of the host",
    "sched": "counts on; policy and slice come from sched_getattr",
    "schedstat": "counts on",
    "seccomp_cache": "of the filters, which are ours too",
    "smaps_rollup": "the sum of smaps",
    "stack": "where the kernel is",
    "statm": "sums of smaps",
    "syscall": "where the freeze caught it",
    "wchan": "where the freeze caught it",
}

IGNORED_STATUS = {
    "Name": "comm, of each thread",
    "State": "it is frozen",
    "Tgid": "a number of the host's; the pod's is the key",
    "Ngid": "a group that the host's NUMA balancing made",
    "Pid": "a number of the host's; the pod's is the key",
    "PPid": "kinship",
    "TracerPid": "ours",
    "NStgid": "numbers of the host's",
    "NSpid": "numbers of the host's",
    "NSpgid": "numbers of the host's",
    "NSsid": "numbers of the host's",
    "SigQ": "of all processes of the user",
    "Seccomp": "of ours",
    "Seccomp_filters": "of ours",
    "voluntary_ctxt_switches": "counts on",
    "nonvoluntary_ctxt_switches": "counts on",
}
RESIDENT_STATUS = (
    "VmHWM", "VmPeak", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmPTE", "FDSize", "HugetlbPages",
)  # fmt: skip
"""Of this moment and this kernel's allocations: the same only while nothing was restored."""
READ_STATUS = (
    "VmPeak", "VmHWM", "VmRSS", "RssFile", "RssShmem", "RssAnon", "VmPTE", "HugetlbPages",
)  # fmt: skip
"""They grow when memory that is the pod's, but not in its page tables, is read for an image (or is
mapped once more, to be read behind guard pages), and with the stub. How much is anonymous is compared
mapping by mapping."""

STAT = {
    18: "priority", 19: "nice", 20: "threads", 25: "rss limit", 38: "exit signal",
    40: "real-time priority", 41: "policy", 52: "exit code",
}  # fmt: skip
"""Fields of /proc/PID/stat that nothing else shows, by their number in proc(5). Layout is separate."""
LAYOUT = {
    26: "start of code", 27: "end of code", 28: "start of stack", 45: "start of data",
    46: "end of data", 47: "start of heap", 48: "start of arguments", 49: "end of arguments",
    50: "start of environment", 51: "end of environment",
}  # fmt: skip
PF_FORKNOEXEC = 0x40
"""Of the kernel's flags of a task (field 9) the one that a fork sets; the rest is history."""


def stat(path: str) -> list[str]:
    """/proc/PID/stat, so that index n is field n of proc(5)."""
    comm, _, rest = Path(path).read_text("utf-8", "replace").partition("(")[2].rpartition(")")
    return ["", "", comm, *rest.split()]


def kinship(look: Look, rpid: int) -> dict[str, Any]:
    """A zombie has this as well."""
    fields = stat(f"/proc/{rpid}/stat")
    state, _ppid, group, session, terminal, foreground = fields[3:9]
    return {
        "comm": fields[2],
        "zombie": state == "Z",
        "group": look.id(int(group)),
        "session": look.id(int(session)),
        "terminal": look.number("controlling terminal", terminal) if terminal != "0" else "none",
        "foreground": look.id(max(int(foreground), 0)),
    }


def read(look: Look, rpid: int) -> dict[str, Any]:
    proc = Path(f"/proc/{rpid}")
    fields = stat(f"{proc}/stat")
    seen: dict[str, Any] = {
        "exe": _link(look, proc / "exe"),
        "cwd": _link(look, proc / "cwd"),
        "root": _link(look, proc / "root"),
        "namespaces": {n: _raw_link(proc / "ns" / n) for n in sorted(os.listdir(proc / "ns"))},
        "status": {
            k: v
            for k, v in status(proc / "status").items()
            if k not in (*IGNORED_STATUS, *RESIDENT_STATUS)
        }
        | _locked(rpid, proc),
        "stat": {name: fields[number] for number, name in STAT.items() if number < len(fields)},
        "layout": {name: fields[number] for number, name in LAYOUT.items()},
        "timers": _timers(look, proc / "timers"),
        "limits": _limits(look, rpid, _text(proc / "limits")),
        "label": _text(proc / "attr" / "current"),
        **{name: _text(proc / name) for name in VERBATIM if (proc / name).exists()},
    }
    seen["stat"]["only forked"] = str(bool(int(fields[9]) & PF_FORKNOEXEC))
    seen |= getters.of_process(look, rpid)
    return seen


def _locked(rpid: int, proc: Path) -> dict[str, str]:
    """Without the stub, which mlockall(2) locks, too."""
    lines = status(proc / "status")
    if "VmLck" not in lines:  # of a zombie
        return {}
    return {"VmLck": f"{int(lines['VmLck'].split()[0]) - memory.locked_of_stub(rpid)} kB"}


def here(rpid: int) -> dict[str, Any]:
    lines = status(Path(f"/proc/{rpid}/status"))
    return {
        "status": {k: lines[k] for k in RESIDENT_STATUS if k in lines and k not in READ_STATUS},
        "ksm_stat": _text(Path(f"/proc/{rpid}/ksm_stat")),
    }


def status(path: Path | str) -> dict[str, str]:
    lines = Path(path).read_text("utf-8", "replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _limits(look: Look, rpid: int, text: str) -> dict[str, str]:
    """Soft and hard, as the program is told them: the kernel's limit on CPU time may be lower."""
    limits = {}
    for line in text.splitlines()[1:]:
        name, (soft, hard) = line[:26].rstrip(), line[26:].split()[:2]
        if name == "Max cpu time" and look.handle and soft != "unlimited":
            past = ffi.new("zt_process_past *")
            lib.zt_past_get_process(look.handle, rpid, past)
            soft = str(int(soft) + past.limit_s)
        limits[name] = f"{soft}, hard {hard}"
    return limits


def _timers(look: Look, path: Path) -> list[dict[str, str]]:
    """POSIX timers: id, signal and value, whom they tell, clock."""
    found: list[dict[str, str]] = []
    for line in _text(path).splitlines():
        key, _, value = line.partition(": ")
        if key == "ID":
            found.append({})
        if key == "notify":  # "signal/pid.123": whom
            value = re.sub(r"\d+$", lambda m: str(look.id(int(m[0]))), value)
        if key == "ClockID" and int(value) < 0:  # ~id << 3 and what kind (clock_getcpuclockid(3))
            value = f"CPU time {int(value) & 7} of {look.id(~(int(value) >> 3))}"
        found[-1][key] = value
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or "?"


def _raw_link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError as error:
        return error.strerror or "?"


def _link(look: Look, path: Path) -> str:
    try:
        status_ = os.stat(path)
    except OSError as error:
        return error.strerror or "?"
    return look.name(_raw_link(path), status_.st_dev, status_.st_ino)
