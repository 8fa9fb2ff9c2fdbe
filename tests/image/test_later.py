"""An image that is packed once the pod goes on: by the commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from zaptrace.cancel import Cancel
from zaptrace.errors import Cancelled, ImageError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink

MANIFEST: dict[str, Any] = {"created": 1.5, "host": {"kernel": "6.18"}, "pod": {"name": "web"}}


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_is_packed_later_is_packed_by_the_commit(tmp_path: Path, codec: str) -> None:
    contents = {"pages-2": bytes(3_000_000), "random": os.urandom(100_000), "empty": b""}
    with DirectorySink(tmp_path / "i", codec, later=True) as sink:
        for name, content in contents.items():
            with sink.part(name) as part:
                part.write(content)
        (temp,) = (path for path in tmp_path.iterdir() if path.name.startswith(".i."))
        assert (temp / "pages-2").read_bytes() == contents["pages-2"], "as it is, as yet"
        sink.commit(MANIFEST)
    assert sorted(os.listdir(tmp_path / "i")) == sorted([*contents, "manifest"])
    with Image.open(tmp_path / "i") as image:
        assert image.parts["pages-2"].codec == codec and image.parts["pages-2"].stored < 100_000
        assert {name: image.read(name) for name in contents} == contents


def test_packing_later_can_fail_and_be_given_up(tmp_path: Path) -> None:
    for given_up in (False, True):
        cancel = Cancel("this")
        with DirectorySink(tmp_path / "i", "zstd", cancel, later=True) as sink:
            with sink.part("a") as part:
                part.write(bytes(3_000_000))
            if given_up:
                cancel.ask("somebody")
            else:
                (temp,) = (path for path in tmp_path.iterdir() if path.name.startswith(".i."))
                (temp / "a").unlink()
            with pytest.raises(Cancelled if given_up else ImageError):
                sink.commit(MANIFEST)
        assert os.listdir(tmp_path) == []
