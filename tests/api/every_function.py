"""A script that uses every function: for type checkers (test_types.py), and for whoever looks for one."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from pathlib import Path

import zaptrace
from zaptrace import aio


def shown(progress: zaptrace.Progress) -> None:
    step: str = progress.step
    print(f"{step}: {progress.done / max(progress.total, 1):.0%}")


def look(pod: zaptrace.Pod) -> None:
    state: str = pod.state
    process: zaptrace.Process
    for process in pod.processes():
        print(pod.name, state, process.vpid + process.rpid + process.ppid + process.threads)
        print(process.comm.upper(), process.state.upper())
    print(pod.logs().splitlines())
    for piece in pod.follow():
        print(piece.decode())


def act(pod: zaptrace.Pod) -> None:
    pod.freeze()
    pod.thaw()
    pod.signal(signal.SIGUSR1)
    pod.signal(10, 2)
    pod.signal(signal.SIGINT, group=True)
    done: zaptrace.Executed = pod.exec(["ps", b"aux"], cwd="/", env={"A": "b"}, timeout=2.5)
    print(done.vpid + (done.returncode or 0), done.stdout + done.stderr, done.outcome)
    print(pod.exec(Path("tidy"), detach=True).vpid, pod.exec("ls", stdio=(0, 1, 2)))
    attached: zaptrace.Outcome | None = pod.attach()
    print(attached)


def carry(pod: zaptrace.Pod) -> zaptrace.MigrationReport:
    report: zaptrace.Report = pod.checkpoint(
        Path("web.zap"), stop=False, codec="lz4", rehearsal=True, outside="close",
        overwrite=True, scrollback=False, progress=shown,
    )  # fmt: skip
    print(report.image.upper(), report.bytes + report.processes + report.threads + report.stored)
    moved = pod.migrate(
        "tcp://192.0.2.7:7077", key="zap-1", name="web", codec="none", scrollback=False,
        progress=shown,
    )  # fmt: skip
    print(moved.to.upper(), moved.name.upper(), moved.bytes, moved.downtime_s + moved.total_s)
    second: zaptrace.Pod = pod.branch(
        "second", "second.zap", ports={80: 8080}, sockets={"/a": "/b"}
    )
    print(second)
    back: zaptrace.Pod = pod.rollback("web.zap", allow_changed=["/data"])
    own: zaptrace.Pod | None = zaptrace.current()
    print(back.name, own)
    return moved


def end(pod: zaptrace.Pod) -> int:
    try:
        outcome: zaptrace.Outcome = pod.wait(timeout=1.5)
    except TimeoutError:
        outcome = pod.stop(grace=2, kill=True)
    print(outcome.how, outcome.to, outcome.left, outcome.why, outcome.notes)
    return 0 if outcome.returncode is None else outcome.returncode


def main() -> None:
    with zaptrace.launch(
        ["sh", b"-c", Path("x")], name="web", cwd=Path("/"), env={"A": "b"}, on_exit="stop"
    ) as pod:
        look(pod)
    with open("out", "wb") as out:
        act(zaptrace.launch("ls", stdio=(0, out, 2)))
    carry(zaptrace.connect("web", on_exit="leave"))
    pod = zaptrace.restore(
        b"web.zap",
        name="x",
        stdio=None,
        allow_changed=[Path("/data")],
        ports={1: 2},
        sockets={"/a": "/b"},
    )
    everyone: list[zaptrace.Pod] = zaptrace.pods()
    checked: zaptrace.Check = zaptrace.check(pod, allow_changed=["/data"])
    if not checked and not checked.ok:
        print([problem.what for problem in checked.problems], everyone)
    print([ability.name for ability in zaptrace.check().abilities])
    info: zaptrace.ImageInfo = zaptrace.show("web.zap")
    made: datetime = info.created
    print(info.image, info.pod, made, info.host, info.kernel, info.processes[0] + info.threads)
    print(info.bytes / info.stored, info.states["process"])
    try:
        end(pod)
    except zaptrace.ZaptraceError as error:
        print(error.what, error.needed, error.found, error.do, error.changed)


async def main_of_asyncio() -> int:
    pod: aio.Pod = await aio.launch(["ls"], name="web", on_exit="stop")
    async with pod:
        print(await pod.state(), await pod.processes(), (await pod.logs()).upper())
        async for piece in pod.follow():
            print(piece.decode())
        await pod.freeze()
        await pod.thaw()
        await pod.signal(signal.SIGUSR1)
        done: aio.Executed = await pod.exec("ls", timeout=2)
        print(done.stdout.decode(), done.returncode)
        report: aio.Report = await pod.checkpoint("web.zap", stop=True, progress=shown)
        moved: aio.MigrationReport = await pod.migrate("tcp://192.0.2.7:7077")
        attached: aio.Outcome | None = await pod.attach()
    print(report.bytes, moved.bytes, attached, [one.name for one in await aio.pods()])
    pod = await aio.restore("web.zap")
    other: aio.Pod = await aio.connect("web")
    print((await pod.branch("second", "second.zap")).name)
    back: aio.Pod = await pod.rollback(Path("web.zap"))
    own: aio.Pod | None = await aio.current()
    print(back.name, own)
    checked: aio.Check = await aio.check(other)
    info: aio.ImageInfo = await aio.show("web.zap")
    print(checked.ok, info.pod)
    outcome: aio.Outcome = await pod.wait(timeout=3)
    ended = await asyncio.wait_for(other.stop(grace=1), 10)
    return (outcome.returncode or 0) + (ended.returncode or 0)


if __name__ == "__main__":
    main()
    asyncio.run(main_of_asyncio())
