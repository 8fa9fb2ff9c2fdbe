"""The images of a job: numbers, rotation, whose they are, and what is gone on from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zaptrace.errors import ImageError, PodError
from zaptrace.image.series import Series, is_series


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(str(tmp_path / "job"))


def make(series: Series) -> str:
    path = series.next()
    os.makedirs(path)
    Path(path, "manifest").touch()
    return path


def names(paths: list[str]) -> list[str]:
    return [os.path.basename(path) for path in paths]


def test_numbers_go_on(series: Series) -> None:
    assert series.numbers() == []
    assert names([make(series) for _ in range(3)]) == ["000001.zap", "000002.zap", "000003.zap"]
    os.rename(series.image(2), series.image(1_000_000))  # more than six digits, if need be
    assert series.numbers() == [1, 3, 1_000_000]
    assert names([series.next()]) == ["1000001.zap"]
    assert names(series.newest_first()) == ["1000000.zap", "000003.zap", "000001.zap"]


def test_what_is_no_image_has_no_number(series: Series) -> None:
    make(series)
    for name in ("web.zap", ".000002.zap.ab.tmp", "12.zap", "000003.zap.removing", "٠٠٠٠٠٤.zap"):
        os.mkdir(os.path.join(series.path, name))
    assert series.numbers() == [1]


@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_rotation_leaves_the_newest(series: Series, keep: int) -> None:
    for _ in range(4):
        make(series)
    series.rotate(keep)
    assert series.numbers() == [1, 2, 3, 4][-max(keep, 1) :]
    assert not [name for name in os.listdir(series.path) if "removing" in name]


def test_rotation_removes_what_a_killed_one_left(series: Series) -> None:
    make(series)
    os.makedirs(f"{series.path}/000000.zap.removing/part")
    series.rotate(3)
    assert os.listdir(series.path) == ["000001.zap"]


def test_one_holds_it(series: Series) -> None:
    series.hold("web")
    other = Series(series.path)
    with pytest.raises(PodError, match="runs already") as refused:
        other.hold("web-2")
    assert f"pod web on host {os.uname().nodename}, supervisor {os.getpid()}" in str(refused.value)
    series.let_go()
    other.hold("web-2")
    other.let_go()


def test_who_ended_well_does_not_go_on(series: Series) -> None:
    make(series)
    series.note_end()
    assert series.to_go_on_from() == []
    assert names(series.newest_first()) == ["000001.zap"]  # restore still has it
    make(series)
    assert names(series.to_go_on_from()) == ["000002.zap"]
    series.rotate(1)
    os.rename(series.image(2), f"{series.path}/elsewhere")
    assert names([series.next()]) == ["000002.zap"]


def test_a_torn_note_of_the_end_is_none(series: Series) -> None:
    make(series)
    Path(series.path, "ended").write_bytes(bytes(16))
    assert names(series.to_go_on_from()) == ["000001.zap"]


def test_what_a_directory_is(tmp_path: Path, series: Series) -> None:
    assert not is_series(str(tmp_path))
    assert not is_series(str(tmp_path / "nothing"))
    image = make(series)
    assert is_series(series.path)
    assert not is_series(image)


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="cannot keep images"):
        Series(str(tmp_path / "file" / "job")).hold("web")
