"""What a pod wrote to its own terminal, as it is carried: zaptrace has read it, so no room finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..shapes import Length, Range

MOST = 4 << 20


@dataclass(frozen=True)
class Size:
    """The window was so large from the byte `at` of what is kept on."""

    at: Annotated[int, Range(0, MOST)]
    rows: Annotated[int, Range(1, 65535)]
    cols: Annotated[int, Range(1, 65535)]


@dataclass(frozen=True)
class Scrollback:
    before: Annotated[bytes, Length(0, 1 << 16)]
    """Sequences for what was turned on before the first byte that is kept."""
    data: Annotated[bytes, Length(0, MOST)]
    sizes: Annotated[list[Size], Length(1, 64)]
    """The first is that at the beginning."""
