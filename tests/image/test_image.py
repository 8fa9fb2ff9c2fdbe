"""An image is written whole or not at all, and read whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zaptrace import plain
from zaptrace.errors import BadImage, ImageError, ImageVersionError
from zaptrace.image import manifest as format_
from zaptrace.image.image import Image, pack_states, read_manifest
from zaptrace.image.sink import DirectorySink
from zaptrace.limits import STATES

MANIFEST: dict[str, Any] = {"created": 1.5, "host": {"kernel": "6.18"}, "pod": {"name": "web"}}
CODECS = pytest.mark.parametrize("codec", [None, "lz4", "zstd"])

hypothesis_settings = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def make(path: Path, codec: str | None = None, parts: dict[str, bytes] | None = None) -> Path:
    """An image with some States and the given parts."""
    with DirectorySink(path, codec) as sink:
        with sink.part("state") as state:
            state.write(pack_states("pipe", [{"file_id": 1, "bytes": b"\0x"}]))
            state.write(pack_states("clock", [{"offset": -5}]))
            state.write(pack_states("pipe", [{"file_id": 2, "bytes": b""}]))
        for name, content in (parts or {}).items():
            with sink.part(name) as part:
                part.write(content)
        sink.commit(MANIFEST)
    return path


def opens(path: Path) -> dict[str, Any]:
    """Open the image at `path`, use everything of it, and return its manifest."""
    with Image.open(path, scratch=path.parent) as image:
        for name in image.parts:
            assert len(image.read(name)) == os.path.getsize(image.path(name))
        return image.manifest


# Round trip


@CODECS
def test_what_was_written_is_read(tmp_path: Path, codec: str | None) -> None:
    pages = os.urandom(3 << 20) + bytes(2 << 20) + b"tail"
    make(tmp_path / "web.zap", codec, {"pages-2": pages, "empty": b""})
    with Image.open(tmp_path / "web.zap", scratch=tmp_path) as image:
        assert image.read("pages-2") == pages
        assert Path(image.path("pages-2")).read_bytes() == pages
        assert image.path("pages-2") == image.path("pages-2")
        assert image.read("empty") == b""
        assert Path(image.path("empty")).read_bytes() == b""
        assert image.states("pipe") == [
            {"file_id": 1, "bytes": b"\0x"},
            {"file_id": 2, "bytes": b""},
        ]
        assert image.rooms() == ["pipe", "clock"]
        assert image.states("no-such-room") == []
        assert image.manifest["host"] == {"kernel": "6.18"}
        assert image.manifest["format"] == format_.FORMAT
        assert image.parts["pages-2"].size == len(pages)
    assert sorted(os.listdir(tmp_path)) == ["web.zap"], "close removes decompressed copies"
    assert read_manifest(tmp_path / "web.zap")["pod"] == {"name": "web"}


@hypothesis_settings
@given(
    codec=st.sampled_from([None, "lz4", "zstd"]),
    parts=st.dictionaries(
        st.from_regex(r"[a-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
            lambda name: name not in ("state", "manifest")
        ),
        st.lists(st.binary(max_size=5000), max_size=5),
        max_size=4,
    ),
)
def test_interleaved_parts_keep_apart(
    tmp_path_factory: pytest.TempPathFactory, codec: str | None, parts: dict[str, list[bytes]]
) -> None:
    target = tmp_path_factory.mktemp("image") / "i.zap"
    sink = DirectorySink(target, codec)
    open_parts = {name: sink.part(name) for name in parts}
    writers = {name: part.__enter__() for name, part in open_parts.items()}
    for turn in range(5):
        for name, pieces in parts.items():
            if turn < len(pieces):
                writers[name].write(bytearray(pieces[turn]))
    for part in open_parts.values():
        part.__exit__(None, None, None)
    sink.commit(MANIFEST)
    with Image.open(target) as image:
        assert {name: image.read(name) for name in image.parts} == {
            name: b"".join(pieces) for name, pieces in parts.items()
        }


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    make(tmp_path / "i", None, {"a": bytes(3 << 20), "b": b"x"})
    seen: list[tuple[int, int]] = []
    Image.open(tmp_path / "i", progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == sum(total for _, total in seen[-1:])


def test_any_buffer_can_be_written(tmp_path: Path) -> None:
    import array

    numbers = array.array("Q", range(1000))
    with DirectorySink(tmp_path / "i") as sink:
        with sink.part("a") as part:
            part.write(numbers)  # type: ignore[arg-type]
            part.write(memoryview(b"abcdef")[2:4])
            assert part.size == 8002
        sink.commit(MANIFEST)
    assert Image.open(tmp_path / "i").read("a") == numbers.tobytes() + b"cd"


# The writing side


def test_an_existing_path_is_refused_and_left_alone(tmp_path: Path) -> None:
    target = make(tmp_path / "i")
    before = (target / "manifest").read_bytes()
    with pytest.raises(ImageError, match="the path exists") as e:
        DirectorySink(target)
    assert "rm -r" in (e.value.do or "")
    assert e.value.changed == "nothing"
    assert (target / "manifest").read_bytes() == before
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ImageError):
        DirectorySink(tmp_path / "link")


def test_a_path_that_appears_in_between_is_refused(tmp_path: Path) -> None:
    sink = DirectorySink(tmp_path / "i")
    (tmp_path / "i").write_text("somebody else's")
    with pytest.raises(ImageError, match="the path exists"):
        sink.commit(MANIFEST)
    assert os.listdir(tmp_path) == ["i"]


def test_nothing_is_left_without_a_commit(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), DirectorySink(tmp_path / "i") as sink:
        with sink.part("a") as part:
            part.write(b"abc")
        assert os.listdir(tmp_path) != []
        raise RuntimeError("boom")
    assert os.listdir(tmp_path) == []


def test_a_failing_write_removes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = DirectorySink(tmp_path / "i")

    def full(fd: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(ImageError) as e, sink.part("a") as part:
        monkeypatch.setattr(os, "write", full)
        part.write(b"abc")
    assert "ENOSPC" in (e.value.found or "")
    assert "compress" in (e.value.do or "")
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="committed or aborted"):
        sink.commit(MANIFEST)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, memoryview(data)[:1000]))
    content = os.urandom(10_500)
    make(tmp_path / "i", None, {"a": content})
    monkeypatch.undo()
    assert Image.open(tmp_path / "i").read("a") == content


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as e:
        DirectorySink(tmp_path / "no" / "i")
    assert f"make the directory {tmp_path}/no" in (e.value.do or "")


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    living = DirectorySink(tmp_path / "i")
    with living.part("a") as part:
        part.write(b"abc")
    left = tmp_path / ".i.killed00.tmp"
    left.mkdir()
    (left / "pages-2").write_bytes(b"x")
    other = tmp_path / ".other.killed.tmp"
    other.mkdir()
    second = DirectorySink(tmp_path / "i")
    assert not left.exists()
    assert other.exists(), "only what was left for the same target"
    living.commit(MANIFEST)  # its lock kept it
    with pytest.raises(ImageError):
        second.commit(MANIFEST)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "-a", "a\0b", "manifest", "é", 7])
def test_names_that_cannot_be_parts(tmp_path: Path, name: Any) -> None:
    with (
        DirectorySink(tmp_path / "i") as sink,
        pytest.raises(ValueError, match="cannot name a part"),
        sink.part(name),
    ):
        pass


def test_a_part_is_written_once(tmp_path: Path) -> None:
    with DirectorySink(tmp_path / "i") as sink:
        with sink.part("a") as part, pytest.raises(ValueError, match="already"), sink.part("a"):
            pass
        with pytest.raises(ValueError, match="closed"):
            part.write(b"late")
        with pytest.raises(ValueError, match="already"), sink.part("a"):
            pass
        with sink.part("b"), pytest.raises(ValueError, match="still open"):
            sink.commit(MANIFEST)


def test_a_part_that_failed_is_not_in_the_image(tmp_path: Path) -> None:
    with DirectorySink(tmp_path / "i") as sink:
        with pytest.raises(RuntimeError), sink.part("a"):
            raise RuntimeError
        assert "a" not in sink.parts


# Damage


def damaged_copies(image: Path, copy: Path, positions: Any) -> Any:
    """Copies of the image, each with one thing wrong, and what is wrong with it."""
    for name in sorted(os.listdir(image)):
        content = (image / name).read_bytes()
        for at in positions(len(content)):
            for bit in (0x01, 0x80):
                changed = bytearray(content)
                changed[at] ^= bit
                (copy / name).write_bytes(changed)
                yield f"{name}: byte {at} ^ {bit:#x}"
            (copy / name).write_bytes(content[:at])
            yield f"{name}: cut to {at}"
        for extra in (b"\0", b"x" * 5000, content):
            if extra:
                (copy / name).write_bytes(content + extra)
                yield f"{name}: {len(extra)} bytes more"
        (copy / name).unlink()
        yield f"{name}: removed"
        (copy / name).mkdir()
        yield f"{name}: a directory"
        (copy / name).rmdir()
        os.mkfifo(copy / name)
        yield f"{name}: a fifo"
        (copy / name).unlink()
        (copy / name).symlink_to(image / name)
        yield f"{name}: a symlink"
        (copy / name).unlink()
        (copy / name).write_bytes(content)
    (copy / "extra").write_bytes(b"")
    yield "a file too many"
    (copy / "extra").unlink()


@CODECS
def test_every_damage_of_a_small_image_is_an_image_error(tmp_path: Path, codec: str | None) -> None:
    image = make(tmp_path / "i", codec, {"pages-2": b"0123456789abcdef" * 4, "empty": b""})
    copy = tmp_path / "copy"
    shutil.copytree(image, copy)
    tried = 0
    for what in damaged_copies(image, copy, range):
        tried += 1
        with pytest.raises(ImageError):
            Image.open(copy)
            pytest.fail(f"accepted: {what}")
    assert tried > 1000
    assert opens(copy) == opens(image), "the last copy is mended"


@hypothesis_settings
@given(data=st.data())
def test_sampled_damage_of_a_larger_image(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp()
    image, copy = base / "large.zap", base / "large-copy.zap"
    if not image.exists():
        make(image, "zstd", {"pages-2": os.urandom(300_000), "pages-3": bytes(3_000_000)})
        shutil.copytree(image, copy)
    name = data.draw(st.sampled_from(sorted(os.listdir(image))))
    content = (image / name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(
        st.one_of(
            st.integers(1, 255).map(lambda x: bytes([content[at] ^ x]) + content[at + 1 :]),
            st.just(b""),
            st.binary(min_size=1, max_size=9).map(lambda x: x + content[at:]),
        )
    )
    try:
        (copy / name).write_bytes(content[:at] + new)
        with pytest.raises(ImageError):
            Image.open(copy)
    finally:
        (copy / name).write_bytes(content)


def sealed(manifest: Any, *, version: int = format_.FORMAT, body: bytes | None = None) -> bytes:
    """The bytes of a manifest file whose checksum is right, whatever it says."""
    body = plain.dumps(manifest) if body is None else body
    head = struct.pack("<8sII", b"ZAPTRACE", version, len(body)) + body
    return head + blake3(head).digest()


PART = {"size": 4, "stored": 4, "codec": None, "blake3": blake3(b"abcd").digest()}
WHOLE = MANIFEST | {"format": format_.FORMAT, "parts": {"a": PART}}


@pytest.mark.parametrize(
    "forged",
    [
        None,
        [],
        {},
        7,
        WHOLE | {"format": format_.FORMAT + 1},
        WHOLE | {"format": True},
        WHOLE | {"created": "now"},
        WHOLE | {"created": float("nan")},
        WHOLE | {"created": float("inf")},
        WHOLE | {"host": None},
        WHOLE | {"pod": {}},
        WHOLE | {"pod": {"name": b"web"}},
        WHOLE | {"parts": []},
        WHOLE | {"parts": {"../a": PART}},
        WHOLE | {"parts": {"manifest": PART}},
        WHOLE | {"parts": {7: PART}},
        WHOLE | {"parts": {"a": None}},
        WHOLE | {"parts": {"a": PART | {"more": 1}}},
        WHOLE | {"parts": {"a": PART | {"size": -1}}},
        WHOLE | {"parts": {"a": PART | {"size": True}}},
        WHOLE | {"parts": {"a": PART | {"size": 5}}},
        WHOLE | {"parts": {"a": PART | {"stored": 2**63}}},
        WHOLE | {"parts": {"a": PART | {"codec": "gzip"}}},
        WHOLE | {"parts": {"a": PART | {"codec": ["lz4"]}}},
        WHOLE | {"parts": {"a": PART | {"blake3": "0" * 32}}},
        WHOLE | {"parts": {"a": PART | {"blake3": b""}}},
        WHOLE | {"parts": {"a": PART, "b": PART}},
        WHOLE | {"parts": {}},
    ],
)
def test_a_forged_manifest_is_a_bad_image(tmp_path: Path, forged: Any) -> None:
    (tmp_path / "a").write_bytes(b"abcd")
    (tmp_path / "manifest").write_bytes(sealed(WHOLE))
    assert Image.open(tmp_path).read("a") == b"abcd"
    (tmp_path / "manifest").write_bytes(sealed(forged))
    with pytest.raises(BadImage):
        Image.open(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",  # never used by msgpack
        b"\xdd\xff\xff\xff\xff" * 100,  # lists in lists, each of four thousand million
        b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff" * 100,
        b"\xc6\xff\xff\xff\xff",
        b"\xd6\xff\0\0\0\0",  # a timestamp
        b"\xc7\x05\x01abcde",  # an extension
        b"\x81\x90\x01",  # a map whose key is a list
        plain.dumps(WHOLE) * 2,
        plain.dumps(WHOLE)[:-1],
    ],
)
def test_forged_msgpack_is_a_bad_image(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "manifest").write_bytes(sealed(None, body=body))
    with pytest.raises(BadImage):
        Image.open(tmp_path)


@hypothesis_settings
@given(st.binary(max_size=300))
def test_msgpack_is_read_or_a_value_error(data: bytes) -> None:
    try:
        values = list(plain.load_each(data, STATES))
    except ValueError:
        return
    assert isinstance(values, list)


def test_another_format_says_which(tmp_path: Path) -> None:
    (tmp_path / "manifest").write_bytes(sealed({"new": "things"}, version=9))
    with pytest.raises(ImageVersionError) as e:
        Image.open(tmp_path)
    assert (e.value.needed, e.value.found) == (f"format {format_.FORMAT}", "format 9")


@pytest.mark.parametrize(
    "records",
    [
        b"\x81\xa4room\xa1a",
        pack_states("a", [{}])[:-1],
        plain.dumps([]),
        plain.dumps({"room": 1, "states": []}),
        plain.dumps({"room": "a", "states": {}}),
        plain.dumps({"room": "a", "states": [1]}),
        plain.dumps({"room": "a", "states": [], "more": 1}),
        pack_states("a", [{}]) + b"\xc1",
    ],
)
def test_a_forged_state_part_is_a_bad_image(tmp_path: Path, records: bytes) -> None:
    with DirectorySink(tmp_path / "i") as sink:
        with sink.part("state") as part:
            part.write(records)
        sink.commit(MANIFEST)
    with pytest.raises(BadImage):
        Image.open(tmp_path / "i")


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("wrong", ["longer", "shorter", "no frame", "cut"])
def test_a_part_that_decompresses_to_another_size(tmp_path: Path, codec: str, wrong: str) -> None:
    make(tmp_path / "i", codec, {"a": bytes(5_000_000)})
    manifest = read_manifest(tmp_path / "i")
    entry, frame = manifest["parts"]["a"], (tmp_path / "i" / "a").read_bytes()
    frame = {"no frame": b"abcd", "cut": frame[:-9]}.get(wrong, frame)
    entry["size"] += {"longer": -1, "shorter": 1}.get(wrong, 0)
    entry |= {"stored": len(frame), "blake3": blake3(frame).digest()}
    (tmp_path / "i" / "a").write_bytes(frame)
    (tmp_path / "i" / "manifest").write_bytes(sealed(manifest))
    with Image.open(tmp_path / "i", scratch=tmp_path) as image:
        with pytest.raises(BadImage):
            image.read("a")
        with pytest.raises(BadImage):
            image.path("a")
    assert os.listdir(tmp_path) == ["i"]


def test_what_is_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name in ("no", "file", "empty"):
        with pytest.raises(BadImage):
            Image.open(tmp_path / name)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with Image.open(make(tmp_path / "i")) as image, pytest.raises(BadImage, match="pages-9"):
        image.path("pages-9")


def test_names_of_any_bytes_travel(tmp_path: Path) -> None:
    name = os.fsdecode(b"/tmp/\xff\xfe")
    with DirectorySink(tmp_path / "i") as sink:
        with sink.part("state") as part:
            part.write(pack_states("regular_file", [{"path": name}]))
        sink.commit(MANIFEST)
    assert Image.open(tmp_path / "i").states("regular_file") == [{"path": name}]


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    fd = os.open(make(tmp_path / "i"), os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
