"""No wait is without an end: what may wait or loop for ever by its looks is listed here, with its end.

A wait that has a limit (a timeout, WNOHANG, LOCK_NB ...) is not looked at. Of any other, somebody
has to say here how it ends; so each new one is reviewed. What nobody can see by its looks, a limit
that is None or a loop with a condition, is for the eyes of who changes it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

READY = "it is asked only when a poll says that it is there, and messages are whole"
ITS_END = "its process was killed just now; nothing outlives SIGKILL but a call to a broken disk"
A_DISK = "a write to a disk ends with it, one to the wire has the limits of a Channel"
TOLD = "until the kernel says that there is no more; the pod is frozen, and its queues are bounded"
PYTHON = {
    "aio/calls.py call: thread.join()": "it has said that it is over",
    "api/output.py written: while True": "to follow is to wait for the end of the pod, or to close it",
    "api/pod.py Pod.attach: subprocess.run(command, env=environment, check=False)":
        "to attach is to wait for the end of the pod, or to detach",
    "cli/_attached.py Attached.run: while True": "the pod ends, its supervisor dies, or we detach",
    "cli/_attached.py Attached._shown: poller.poll()": "the terminal takes it, or there is a signal",
    "cli/_executed.py Executed._follow: while True": "it ends or the pod does; signals are passed on",
    "cli/_foreground.py _wait: while True": "the pod ends or its supervisor dies; signals are passed on",
    "cli/_foreground.py _wait: poller.poll()": "the lifeline says so, or is cut; or there is a signal",
    "cli/_screen.py Screen._serve: self._waiting.get()": "close() says so; it is a daemon thread",
    "cli/_screen.py _wait_for_room: poll.poll()": "the same: whoever reads the terminal does, or hangs up",
    "cli/_which.py side_by_side: done.get()": "each thread puts what became of its pod; ctrl-c gives it up",
    "cli/logs.py _copy: while True": "to follow is to wait for the end of the pod, or for ctrl-c",
    "demo/__init__.py _await_end: child.wait()": ITS_END,
    "demo/__init__.py _line_of: child.stdout.readline()": "a select before, and lines are written whole",
    "demo/program.py main: os.waitpid(pid, 0)": "its pipes have ended; it is a program like a user's",
    "demo/program.py work: thread.join()": "the same",
    "image/image.py _verify: pipe.wait()": "what it waits for is a sum over 1 MiB",
    "image/writebehind.py WriteBehind.wait: under_way.result()": A_DISK,
    "image/writebehind.py WriteBehind.write: self.wait()": A_DISK,
    "linux/abilities.py _in_a_child: os.waitpid(child, 0)": "it has just been killed",
    "linux/outside.py _Task.__init__: self.done.acquire()": "nobody else has the new lock",
    "linux/outside.py _take.serve: helper.get()": "an idle helper waits for work; it is a daemon thread",
    "linux/tracee.py Thread.pending: while True": "there is room for more each time; signals are bounded",
    "linux/tracee.py tasks: while True": "threads come and go by the tracer alone, on whose thread we are",
    "migration/destination.py Destination._stage: while True": "receives have a limit, the disk an end",
    "network/channel.py Hub.stop: self.join()": "its turns last half a ping, and its sockets linger 2 s",
    "network/wire.py Listener._answer_zap: self._zap.recv_multipart()": READY,
    "network/wire.py _greet: socket.recv_multipart(copy=False)": READY,
    "pod/checkpoint.py _capture_settled: while True": "a limit is in it",
    "pod/keeping.py _accept: accept(sock)": "it asks first, see below; the pod is frozen",
    "pod/looking.py end: looker.join()": "it was told to end, and waits for nobody's call any more",
    "pod/pod.py Pod.__init__: started.get()": "the thread says either that it has started, or why not",
    "pod/pod.py Pod._serve: self._jobs.get()": "there is one, and nobody else takes any",
    "pod/pod.py Pod._serve: while True": "close() sends the job that ends it; else our process ends",
    "pod/pod.py Pod._wait_for_job: self._jobs.get()": "the same: an idle tracer waits for work",
    "resources/aio.py _capture: while True": "a limit is in it",
    "resources/autogroup.py _write: while True": "a limit is in it",
    "resources/common/libc.py apart: os.waitpid(child, 0)": "it makes a few calls of which none waits",
    "linux/sock_diag.py ask: link.recv(1 << 18)": "the socket has a timeout",
    "linux/sock_diag.py ask: while True": "the kernel marks the last answer",
    "resources/inet_socket/flow.py put: receiver.recv(1, socket.MSG_OOB)": "it has come",
    "resources/inet_socket/group.py _takes: listener.accept()": "somebody waits there; it does not block",
    "resources/inet_socket/queue.py _datagrams: while True": TOLD,
    "resources/memory/pages.py Saver.finish: self._pipe.wait()": A_DISK,
    "resources/sysv_ipc.py _messages: while True": TOLD,
    "resources/tty/ends.py open_master: while True": "up to the highest number that is tried",
    "resources/unix_socket/maker.py Maker._send_pieces: while True": "each turn sends some, or raises",
    "resources/common/lending.py lend: door.accept()": "it has a timeout; who connects did so",
    "resources/unix_socket/maker.py _accept: listener.accept()": "the socket does not block",
    "resources/unix_socket/maker.py _accept: while True": "the backlog is bounded; then accept raises",
    "resources/unix_socket/queue.py _datagrams: while True": TOLD,
    "server.py _lock_staging: while True": "it gives up after _SWEPT_S seconds",
    "server.py serve: stop.wait()": "a server serves until SIGTERM or SIGINT",
    "supervisor/control.py Client.follow: while True": "the supervisor answers or dies, or is stopped",
    "supervisor/control_socket.py ControlSocket._let_in: self._listener.accept()":
        "the socket does not block",
    "supervisor/logs.py follow: while True": "each turn goes on to a newer file, and there is one more",
    "api/executing.py _messages: while True": "it ends with the process, with its supervisor, or as asked",
    "supervisor/again.py by_another: subprocess.run(command, stdin=subprocess.DEVNULL, "
    "stdout=subprocess.PIPE, start_new_session=True, check=False)":
        "it ends with the pod, or says why not; what it calls has ends of its own",
    "supervisor/again.py roll_back: client.wait()": "the pod was stopped by its checkpoint",
    "supervisor/stream.py Stream.read: socket.recv_fds(self._socket, _BITE, _FDS, flags)":
        "the socket does not block",
    "supervisor/runtime.py _take: while True": "a limit is in it",
    "supervisor/runtime.py claim_free: while True": "no name is tried twice",
    "supervisor/starter.py Waiting._reap: wait()": "it has ended, or was just killed",
    "supervisor/starter.py _forked: os.waitpid(child, 0)": "the same",
    "supervisor/starter.py _read_exactly: stream.recv(count - len(data))": "a supervisor says, or dies; "
    "`zaptrace stop` ends one that is at it",
    "supervisor/supervisor.py Supervisor._wait_for_end: self.pod.wait()": "what this thread is for",
    "view/build.py Build.take_files: socket.recv_fds(self.channel, 1, len(fds), socket.MSG_CMSG_CLOEXEC)":
        "the program that sends them has run, and succeeded",
    "view/duplicates.py _sent: ours.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)":
        "the socket does not block",
    "view/files.py _Keeper.close: self._child.wait()": ITS_END,
    "view/files.py _send: while True": "a limit is in it",
    "view/files.py _Keeper.give: socket.recv_fds(self._peer, 16, len(file_ids))": "it has a timeout",
    "view/files.py _Keeper.keep: self._peer.recv(16)": "the socket has a timeout",
    "view/giving.py give: ours.accept()": "it has a timeout of 0; who connects did so",
    "view/kept.py Kept._wait: poll.poll()": "a listener is closed, or close() says so; a daemon thread",
    "view/kept.py Kept._wait: while True": "the same",
    "view/kept.py Kept.close: thread.join()": "it was told to end, and looks for nothing else then",
    "view/kept.py Kept.empty: accept(sock)": "it asks first; the pod is frozen",
    "view/kept.py accept: sock.accept()": "a poll before says that somebody waits; the pod is frozen",
}  # fmt: skip
"""Waits and endless loops of zaptrace/, and how each ends."""

STOPS = "each turn waits for a stop, which has a limit (zt_stop_wait); a thread stops a few times"
C = {
    "base/idtable.c zt_idtable_choose: for (;; candidate.n++)": "there are more numbers than processes",
    "base/proc.c zt_proc_read: read(fd, ret + length, size - 1 - length)": "a file of /proc",
    "base/proc.c zt_proc_is_open: read(fd, &scope, 1)": "a file of /proc",
    "loop/launch.c await_exec: for (;;)": STOPS,
    "loop/launch.c let_it_execute: for (;;)": "it makes its first call, stops, or ends",
    "loop/launch.c child: read(go[0], &byte, 1)": "the supervisor writes, or ends, and with it the pipe",
    "loop/launch.c zt_loop_launch: waitpid(rpid, NULL, 0)": "it was killed, and has done nothing yet",
    "loop/loop.c step_or_adopt: zt_loop_step(pod, 0, err)": "idle; a wake ends it, sent again if lost",
    "loop/loop.c zt_loop_step: waitpid(-1, &status, __WNOTHREAD | options)": "the same",
    "loop/launch.c let_it_execute: poll(&place, 1, 1)": "a millisecond",
    "loop/looker.c serve: for (;;)": "something new to look at, or the end of the pod",
    "loop/looker.c serve: "
    "poll(places, count, handed ? AGAIN_MS : pod->notified ? REAP_EVERY_MS : -1)":
        "the same: idle; the pod's end is told by an eventfd",
    "loop/looker.c is_unguarded: waitpid(guardian->pid, NULL, __WALL)": "its pidfd says that it has ended",
    "pod/guardian.c guard: sigwaitinfo(&told, NULL)": "the supervisor ends, or ends it with the pod",
    "pod/guardian.c zt_guardians_destroy: waitpid(guardians[i].pid, NULL, __WALL)": "it was killed",
    "loop/program.c zt_loop_end_process: for (;;)": STOPS,
    "pod/looker.c hold: pause()": "it is killed when the pod is closed, or with the tracer's thread",
    "pod/looker.c zt_looker_destroy: waitpid(looker->holder, NULL, __WALL)": "it was killed",
    "pod/ipc/heir.c wait_for_the_end: read(0, &one, sizeof one)": "the supervisor ends, or dismisses it",
    "pod/ipc/heir.c await_end: waitpid(pid, NULL, __WALL)": "its pipe is closed, and it runs; or is gone",
    "ptrace/fresh.c zt_fresh_auxv: for (;;)": "up to the end of the vector, or of the stack",
    "ptrace/install.c to_trapped_call: for (;;)": STOPS,
    "ptrace/stop.c wait_ticking: for (;;)": "a tick comes every second, and a stuck thread is given up",
    "ptrace/stop.c wait_ticking: waitpid(rtid, &status, __WALL)": "the same",
    "ptrace/stop.c zt_stopped_rest: "
    "for (int signal = 0;; signal = ret->kind == ZT_STOP_SIGNAL ? ret->value : 0)": STOPS,
    "ptrace/stub.c run_to_end: for (;;)": STOPS,
}  # fmt: skip
"""The same for csrc/."""

UNLIMITED_WITHOUT_ARGUMENT = ("wait", "join", "result", "acquire", "communicate", "get", "poll")
RECEIVES = ("recv", "recv_multipart", "recvmsg", "recvfrom", "recv_fds", "accept", "readline")
NOT_WAITING = ("NOHANG", "LOCK_NB", "DONTWAIT", "NOBLOCK", "_PEEK")


def waits_without_limit(call: ast.Call) -> bool:
    """By its looks."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if isinstance(call.func, ast.Name):
        name = call.func.id
    text, arguments = ast.unparse(call), list(call.args)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "timeout" in given:
        return isinstance(given["timeout"], ast.Constant) and given["timeout"].value is None
    if name in UNLIMITED_WITHOUT_ARGUMENT:
        if text == "select.poll()":  # makes one
            return False
        return not arguments or ast.unparse(arguments[0]) == "None"
    if name == "wait_for":
        return len(arguments) < 2
    if text.startswith("select.select("):
        return len(arguments) < 4
    if text.startswith("subprocess.") and name in ("run", "call", "check_call", "check_output"):
        return True
    if name in RECEIVES:
        of_a_channel = arguments and isinstance(arguments[0], ast.Constant)
        words = of_a_channel and isinstance(arguments[0].value, str)
        return not words and not any(flag in text for flag in NOT_WAITING)
    if name in ("waitpid", "waitid", "wait3", "wait4", "flock", "lockf"):
        return not any(flag in text for flag in NOT_WAITING)
    return False


def found_in(source: str) -> Iterator[str]:
    """`function: call` for each, in order."""

    def visit(node: ast.AST, inside: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            where = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                where = f"{inside}.{child.name}" if inside else child.name
            elif isinstance(child, ast.Call) and waits_without_limit(child):
                yield f"{inside}: {ast.unparse(child)}"
            elif isinstance(child, ast.While) and isinstance(child.test, ast.Constant):
                yield f"{inside}: while {ast.unparse(child.test)}"
            yield from visit(child, where)

    return visit(ast.parse(source), "")


def in_python() -> Counter[str]:
    home = ROOT / "zaptrace"
    return Counter(
        f"{path.relative_to(home)} {what}"
        for path in sorted(home.rglob("*.py"))
        for what in found_in(path.read_text(encoding="utf-8"))
    )


COMMENT = re.compile(r"/\*.*?\*/", re.S)
FUNCTION = re.compile(r"^\w[\w\s\*]*?(\w+)\([^;]*$")
ENDLESS = re.compile(
    r"(for \([^;]*; *;[^;]*\)|while \((?:1|true)\)"
    r"|\bwait(?:pid|id|4)\((?:[^;()]|\(\w+\))*\)|zt_loop_step\([^;]*?\)"
    r"|\b(?:poll|ppoll|select|epoll_wait|pause|sigwait\w*|read|flock)\([^;]*?\))"
)


def found_in_c(source: str) -> Iterator[str]:
    function = ""
    for line in COMMENT.sub("", source).splitlines():
        if line[:1].isspace():
            calls = (what for what in ENDLESS.findall(line) if "NOHANG" not in what)
            yield from (f"{function}: {what}" for what in calls)
        elif head := FUNCTION.match(line):
            function = head[1]


def in_c() -> Counter[str]:
    home = ROOT / "csrc"
    return Counter(
        f"{path.relative_to(home)} {what}"
        for path in sorted(home.rglob("*.c"))
        for what in found_in_c(path.read_text(encoding="utf-8"))
    )


def differences(found: Counter[str], reviewed: dict[str, str]) -> list[str]:
    new = [f"no end is named of: {what}" for what in found if what not in reviewed]
    twice = [f"{n} times, which one is meant: {what}" for what, n in found.items() if n > 1]
    old = [f"is not there any more: {what}" for what in reviewed if what not in found]
    return new + twice + old


def test_every_wait_in_python_has_an_end() -> None:
    assert differences(in_python(), PYTHON) == []


def test_every_wait_in_c_has_an_end() -> None:
    assert differences(in_c(), C) == []


WITHOUT = """
event.wait()
event.wait(None)
thread.join()
jobs.get()
child.communicate()
future.result(timeout=None)
condition.wait_for(done)
poller.poll()
select.select([fd], [], [])
subprocess.run(argv, check=True)
sock.recv(4096)
socket.recv_multipart()
listener.accept()
os.waitpid(pid, 0)
fcntl.flock(fd, fcntl.LOCK_EX)
"""
WITH = """
event.wait(5)
event.wait(timeout=limit)
thread.join(limit)
", ".join(words)
table.get("key")
jobs.get(timeout=3)
condition.wait_for(done, 5)
poller.poll(0)
poller.poll(limit_ms)
select.select([fd], [], [], 0)
subprocess.run(argv, timeout=60)
sock.recv(4096, socket.MSG_DONTWAIT)
channel.recv("go", "abort")
os.waitpid(pid, os.WNOHANG)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
while going(): pass
"""


def test_what_has_a_limit_is_told_from_what_has_none() -> None:
    assert [what.removeprefix(": ") for what in found_in(WITHOUT)] == WITHOUT.split("\n")[1:-1]
    assert list(found_in(WITH)) == []
    loop = "class A:\n    def b(self):\n        while 1:\n            c.wait()\n"
    assert list(found_in(loop)) == ["A.b: while 1", "A.b: c.wait()"]


def test_the_same_in_c() -> None:
    source = """
static int ends(int fd) /* waitpid(1, NULL, 0) */
{
    for (int i = 0; i < 3; i++)
        waitpid(-1, &status, WNOHANG | __WALL);
    return thread_read(fd);
}

int does_not(zt_pod *pod, int fd)
{
    while (1)
        if (poll(&fds, 1, -1) && read(fd, &byte, 1))
            return waitpid(-1, &status, __WALL);
    for (;;)
        pause();
}
"""
    assert list(found_in_c(source)) == [
        "does_not: while (1)",
        "does_not: poll(&fds, 1, -1)",
        "does_not: read(fd, &byte, 1)",
        "does_not: waitpid(-1, &status, __WALL)",
        "does_not: for (;;)",
        "does_not: pause()",
    ]
