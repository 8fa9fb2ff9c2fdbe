"""The image that a path names: itself, or of a job's images the newest that is good."""

from __future__ import annotations

import os

from ..errors import BadImage, ImageError
from ..image.image import Image
from ..image.series import Series, is_series
from .contents import read


def images_at(path: str) -> list[str]:
    """The images that are meant by `path`, the best first. ImageError for a job that has none."""
    if not is_series(path):
        return [os.path.abspath(path)]
    if found := Series(path).newest_first():
        return found
    raise ImageError(
        f"there is no image in {path}",
        needed="at least one image of the job",
        found="none was made yet",
        do="run the job: zaptrace run --images DIR --continue",
        changed="nothing",
    )


def open_newest(path: str) -> tuple[Image, list[BadImage]]:
    """It, verified, and why newer ones were passed over. Raises BadImage when none is good."""
    passed_over: list[BadImage] = []
    for image_path in images_at(path):
        try:
            image = Image.open(image_path)
        except BadImage as error:
            passed_over.append(error)
            continue
        try:
            read(image)
        except BadImage as error:
            image.close()
            passed_over.append(error)
            continue
        return image, passed_over
    raise passed_over[0]
