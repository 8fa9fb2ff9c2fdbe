"""zaptrace prune: remove what is left of pods that ended, and old images of a job."""

from __future__ import annotations

import os
import time

import click

from ..supervisor import runtime
from ._common import as_json, tell
from ._job import Duration
from ._tell import print_json


@click.command()
@click.option("--older-than", type=Duration(), metavar="TIME", help="Only what is (90s, 2h, 7d).")
@click.option(
    "--images", type=click.Path(file_okay=False, exists=True), help="Of this job, images instead."
)
@click.option("--keep", type=click.IntRange(1), help="So many of its newest good images (3).")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@as_json
def command(
    older_than: float | None, images: str | None, keep: int | None, dry_run: bool, as_json: bool
) -> None:
    """Remove the records and logs of pods that ended; with --images, old images of a job.

    \b
    zaptrace prune                          what zaptrace ps -a lists as ended
    zaptrace prune --older-than 7d
    zaptrace prune --images job --keep 2    all but the 2 newest images that are good

    A pod that runs keeps all that is its own, and so does the job whose images these are: while that
    runs they are its business (run --keep). No other image is touched. Without prune, the 32 pods
    that ended last are known.
    """
    if keep is not None and images is None:
        raise click.UsageError("--keep is for --images")
    before = time.time() - older_than if older_than is not None else None
    if images is not None:
        removed = _prune_images(images, keep or 3, before, dry_run)
    else:
        removed = _prune_records(before, dry_run)
    if as_json:
        print_json({"removed": removed, "dry_run": dry_run})
        return
    for one in removed:
        tell(f"{'would remove' if dry_run else 'removed'} {one}")


def _prune_records(before: float | None, dry_run: bool) -> list[str]:
    base = runtime.place()
    names = []
    for name in runtime.ended_names(base):
        past = runtime.ended(name, base) or {}
        if before is None or past.get("written", 0.0) < before:
            names.append(name)
    if not dry_run:
        runtime.forget_ended(names, base)
    return names


def _prune_images(path: str, keep: int, before: float | None, dry_run: bool) -> list[str]:
    from ..image.series import Series

    series = Series(path)
    series.hold("zaptrace prune")
    try:
        old = [
            image
            for image in series.beyond(keep)
            if before is None or os.stat(image).st_mtime < before
        ]
        if not dry_run:
            series.remove(old)
    finally:
        series.let_go()
    return old
