"""Where a pod of this user was written to last, for who asks for the latest image.

One file, in the state directory or that of the runtime (kept.py): JSON with the path, replaced in one step.
"""

from __future__ import annotations

import contextlib
import os

from ..linux import private, records
from ..text import as_json
from . import kept

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from ..linux.private import StrPath

_NAME = ".latest-image"
_KNOWN: dict[str, records.Check] = {"image": records.is_text}


def note(base: StrPath, image: str) -> None:
    """An image was made. Where that cannot be noted it is as if there had been none."""
    path = os.path.join(kept.notes(base), _NAME)
    beside = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        private.write(beside, as_json({"image": image}))
        os.rename(beside, path)


def read(base: StrPath) -> str | None:
    """The path of the last one, which may have been moved or removed since."""
    found = records.read(os.path.join(kept.notes(base), _NAME), _KNOWN, needed=("image",))
    return str(found["image"]) if found else None
