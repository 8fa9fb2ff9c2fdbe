"""Feeds made-up input to what reads it, for some time or some number, and says how that went.

    worker.py image   CORPUS HOME SEED SECONDS FEWEST MOST   show, check, and restore up to its check
    worker.py message CORPUS HOME SEED SECONDS FEWEST MOST   what peers and clients say
    worker.py files   CORPUS HOME SEED SECONDS FEWEST MOST   records, keys and notes of one user

CORPUS has images of real pods (see test_fuzz.py); the last line is JSON. What is wrong, once
for each place, is a traceback with the seed of that input: that SEED, with MOST 1, is it again.
FEWEST inputs are fed also where SECONDS are too short for them.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from blake3 import blake3
from fuzz import odd
from fuzz.files import Files
from fuzz.judge import Hang, Judge, Outside
from fuzz.mutate import TooLarge, damaged, mutated

from zaptrace import plain
from zaptrace.cli import show
from zaptrace.errors import PeerGone, ZaptraceError
from zaptrace.image import manifest as manifests
from zaptrace.image.image import Image
from zaptrace.limits import UNBOUNDED
from zaptrace.linux import outside
from zaptrace.migration import Destination
from zaptrace.network import channel as channels
from zaptrace.pod.restore import claim
from zaptrace.supervisor import arguments, control, suitability, verbs

Fuzz = Callable[[random.Random], None]
_ENOUGH = 20
"""Faults of different places; then it ends."""


class Images:
    """Copies of the corpus' images, each with other States or another manifest every time."""

    def __init__(self, corpus: Path, home: Path, judge: Judge) -> None:
        self._judge = judge
        self._corpus = corpus
        self._all = []
        for source in sorted(corpus.iterdir()):
            shutil.copytree(source, home / source.name)
            records = list(plain.load_each((source / "state").read_bytes(), UNBOUNDED))
            manifest = manifests.unpack((source / "manifest").read_bytes())
            packed = list(map(plain.dumps, records))
            self._all.append((home / source.name, records, packed, manifest))
        self._weights = [1 / sum(map(len, packed)) for _, _, packed, _ in self._all]
        gc.freeze()  # the corpus stays
        outside._take = lambda: None  # calls on paths are made here: two threads would take turns

    def __call__(self, rng: random.Random) -> None:
        # As much time for the one as for the other, rather than as many inputs.
        [(path, records, packed, manifest)] = rng.choices(self._all, self._weights)
        how = rng.random()
        state = b"".join(packed)
        if how < 0.75:
            state = b"".join(self._one_wrong(records, packed, rng))
        elif how < 0.85:
            state = damaged(state, rng)
        elif how < 0.95:
            manifest = mutated(manifest, rng)
        if isinstance(manifest, dict) and isinstance(manifest.get("parts"), dict):
            entry = {"size": len(state), "stored": len(state), "codec": None}
            manifest = {**manifest, "parts": {**manifest["parts"]}}
            if how < 0.95 and "state" in manifest["parts"]:
                manifest["parts"]["state"] = {**entry, "blake3": blake3(state).digest()}
        sealed = _sealed(manifest)
        _anew(path / "state", state)
        _anew(path / "manifest", damaged(sealed, rng) if how >= 0.95 else sealed)
        is_odd = self._one_odd(path, rng) if rng.random() < 0.05 else contextlib.nullcontext()
        with is_odd, self._judge.input():
            self._use(str(path), as_json=rng.random() < 0.3)

    @contextlib.contextmanager
    def _one_odd(self, path: Path, rng: random.Random) -> Iterator[None]:
        """Something else is where one of its files was, or beside them."""
        name = rng.choice([*sorted(os.listdir(path)), "more", "\udcff\x1b]0;owned\x07"])
        odd.put(path / name, rng)
        try:
            yield
        finally:
            odd.clear(path / name)
            if (self._corpus / path.name / name).exists():
                shutil.copy(self._corpus / path.name / name, path / name)

    def _one_wrong(
        self, records: list[Any], packed: list[bytes], rng: random.Random
    ) -> list[bytes]:
        if rng.random() < 0.1:
            changed = mutated(records, rng)
            return [plain.dumps(one) for one in (changed if type(changed) is list else [changed])]
        found = list(packed)
        with_states = [i for i, record in enumerate(records) if record["states"]]
        at = rng.choice(with_states)
        found[at] = plain.dumps(mutated(records[at], rng))
        return found

    def _use(self, path: str, *, as_json: bool) -> None:
        """What one of them refuses, the other has to refuse."""
        with contextlib.redirect_stdout(io.StringIO()):
            command = show.command.callback
            assert command is not None
            shown = _error(lambda: command(path, short=False, scrollback=False, as_json=as_json))
        checked = _error(lambda: _claim(path))
        assert str(shown) == str(checked), f"show: {shown}\ncheck: {checked}"
        if shown is not None:
            raise shown


def _anew(path: Path, data: bytes) -> None:
    """A new file: to cut the old one short has some file systems write it out first."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _claim(path: str) -> None:
    with Image.open(path) as image:
        for error in claim(image):
            str(error)


def _error(work: Callable[[], object]) -> ZaptraceError | None:
    try:
        work()
    except ZaptraceError as error:
        return error
    return None


def _sealed(manifest: Any) -> bytes:
    body = plain.dumps(manifest)
    head = manifests._HEAD.pack(manifests.MAGIC, manifests.FORMAT, len(body)) + body
    return head + blake3(head).digest()


class Frame:
    def __init__(self, data: bytes) -> None:
        self.buffer = memoryview(data)


class Peer:
    """A channel on whose other side somebody says what is in a list."""

    peer = "somebody"

    def __init__(self, said: list[tuple[Any, bytes]]) -> None:
        self._said = said

    def recv(self, *kinds: str, timeout: float = 0) -> channels.Message:
        """As channel.Channel's."""
        if not self._said:
            raise PeerGone("it went away")
        fields, data = self._said.pop(0)
        frames: Any = [Frame(plain.dumps(fields))] + ([Frame(data)] if data else [])
        try:
            kind, fields, _, view = channels.decode(frames)
        except ValueError as error:
            raise PeerGone(str(error)) from error
        if kind not in kinds:
            raise PeerGone("it says something else")
        return channels.Message(kind, fields, view)

    def send(self, kind: str, data: bytes = b"", **fields: Any) -> None:
        """It hears nothing."""

    def fail(self, error: ZaptraceError) -> None:
        """Nor this."""
        str(error)


class Messages:
    def __init__(self, corpus: Path, home: Path, judge: Judge) -> None:
        self._judge = judge
        self._staging = home / "staging"
        self._conversations = [_conversation(source) for source in sorted(corpus.iterdir())]
        self._root = home
        self._destination = Destination(
            self._staging, self._spawn, lambda facts: suitability.reasons(facts, home)
        )

    def __call__(self, rng: random.Random) -> None:
        rng.choice([self._of_a_host, self._bytes, self._of_a_client, self._of_an_error])(rng)

    def _spawn(self, image: str, name: str, gives_up: Callable[[], bool]) -> Any:
        _claim(image)
        raise ZaptraceError("it was whole")

    def _of_a_host(self, rng: random.Random) -> None:
        said = list(rng.choice(self._conversations))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(said))
            fields, data = said[at]
            how = rng.random()
            if how < 0.7:
                said[at] = (mutated(fields, rng), data)
            elif how < 0.8:
                said[at] = (fields, damaged(data, rng))
            elif how < 0.9:
                del said[at]
            else:
                said.insert(at, rng.choice(said))
            if not said:
                break
        with self._judge.input():
            self._destination.converse(Peer(said))  # type: ignore[arg-type]
        if left := os.listdir(self._staging):
            raise AssertionError(f"it left {left}")

    def _bytes(self, rng: random.Random) -> None:
        fields, data = rng.choice(rng.choice(self._conversations))
        frames: Any = [Frame(damaged(plain.dumps(fields), rng)), Frame(data)]
        with self._judge.input(), contextlib.suppress(ValueError):
            kind, told, _, _ = channels.decode(frames)
            channels.told(told, kind)
            channels.natural(told, "n")

    def _of_a_client(self, rng: random.Random) -> None:
        request = mutated(rng.choice(_REQUESTS), rng)
        frame = plain.dumps(request)
        if rng.random() < 0.3:
            frame = damaged(frame, rng)
        with self._judge.input():
            message = control.unpack(frame)
            handler = getattr(verbs.Verbs, f"do_{message.get('verb')}", None)
            if handler is not None:
                number = message.get("id")
                wanted = verbs.Request(b"client", number, str(message.get("verb")), message)
                arguments.checked(handler, wanted)

    def _of_an_error(self, rng: random.Random) -> None:
        error = mutated(_ERROR, rng)
        if isinstance(error, dict):
            with self._judge.input():
                told = ZaptraceError.from_dict(error)
                str(told)
                plain.dumps(told.to_dict())


def _conversation(image: Path) -> list[tuple[Any, bytes]]:
    """What a source says that sends this image."""
    manifest = manifests.unpack((image / "manifest").read_bytes())
    facts = {
        "host": manifest["host"],
        "bytes": 1 << 20,
        "files": [["/bin/sh", 1, True]],
        "ports": [[2, "127.0.0.1", 0]],
    }
    said: list[tuple[Any, bytes]] = [
        ({"kind": "offer", "id": "0" * 32, "name": "web", "facts": facts}, b"")
    ]
    for number, name in enumerate(manifest["parts"]):
        said.append(({"kind": "part", "n": number, "name": name}, b""))
        data = (image / name).read_bytes()
        said += [
            ({"kind": "data", "n": number}, data[at : at + (1 << 20)])
            for at in range(0, len(data), 1 << 20)
        ]
        said.append(({"kind": "end", "n": number}, b""))
    return [*said, ({"kind": "manifest", "manifest": manifest}, b""), ({"kind": "abort"}, b"")]


_ERROR = {
    "class": "RestoreError", "what": "it", "needed": "a", "found": "b", "do": None, "changed": "c",
    "stage": "CLAIM", "resource": "pipe", "vpid": 7,
}  # fmt: skip
_REQUESTS: list[dict[str, Any]] = [
    {"v": 1, "id": 1, "verb": "status", "processes": True},
    {"v": 1, "id": 2, "verb": "attach", "rows": 24, "cols": 80, "tail": 100},
    {"v": 1, "id": 3, "verb": "signal", "signal": 15, "vpid": None, "group": False},
    {"v": 1, "id": 4, "verb": "stop", "grace": 1.0, "kill": False},
    {"v": 1, "id": 5, "verb": "checkpoint", "to": "/x", "then": "stop", "codec": None},
    {"v": 1, "id": 6, "verb": "migrate", "to": "tcp://x:1", "options": {"name": "web"}},
    {"v": 1, "verb": "input", "data": b"x"},
    {"v": 1, "verb": "resize", "rows": 24, "cols": 80},
    {"v": 1, "verb": "ack", "id": 2, "at": 100},
]


KINDS = {"image": Images, "message": Messages, "files": Files}


def main() -> int:
    kind, corpus, home, seed, seconds, fewest, most = sys.argv[1:8]
    os.environ["TMPDIR"] = tempfile.tempdir = home
    sys.dont_write_bytecode = True  # of what a command loads: a file outside
    judge = Judge(Path(home))
    fuzz: Fuzz = KINDS[kind](Path(corpus), Path(home), judge)
    until, number = time.monotonic() + float(seconds), int(seed) - 1
    wrong: dict[str, str] = {}
    while judge.inputs < int(most) and len(wrong) < _ENOUGH:
        if time.monotonic() >= until and judge.inputs >= int(fewest):
            break
        number += 1
        try:
            fuzz(random.Random(number))
        except TooLarge:
            continue
        except (Exception, Hang, Outside) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
            wrong.setdefault(key, f"{traceback.format_exc()}seed {number}")
    print(*wrong.values(), sep="\n", file=sys.stderr)
    print(json.dumps({"kind": kind, "first": int(seed), **judge.figures(), "wrong": [*wrong]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
