"""An image takes the place of another one, when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zaptrace.errors import ImageError
from zaptrace.image.image import Image
from zaptrace.image.sink import DirectorySink
from zaptrace.linux import rename

MANIFEST: dict[str, Any] = {"created": 1.5, "host": {"kernel": "6.18"}, "pod": {"name": "web"}}


def test_an_image_may_be_overwritten_and_nothing_else(tmp_path: Path) -> None:
    target, photos = tmp_path / "i", tmp_path / "photos"
    photos.mkdir()
    with DirectorySink(target) as sink:
        sink.commit(MANIFEST)
    with pytest.raises(ImageError, match="the path exists") as e:
        DirectorySink(photos, overwrite=True)
    assert e.value.found == "something that is no image"
    with DirectorySink(target, overwrite=True) as sink:
        with sink.part("pages-9") as part:
            part.write(b"new")
        Image.open(target).close()  # the former one, until then
        sink.commit(MANIFEST)
    with Image.open(target) as image:
        assert set(image.parts) == {"pages-9"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "photos"]


def test_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS: one after the other."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    monkeypatch.setattr(rename, "RENAME_EXCHANGE", 1 << 20)  # which no kernel knows
    rename.exchange(str(tmp_path / "one"), str(tmp_path / "other"))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "one", "one/other", "other", "other/one",
    ]  # fmt: skip
