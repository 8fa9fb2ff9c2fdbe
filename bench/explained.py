"""What is said of results by hand, in bench/explained/*.md: the page takes it from there, and a new run
loses none of it. A file's name is the experiment that it explains; `profiles` has where time goes."""

from __future__ import annotations

from pathlib import Path

PLACE = Path(__file__).with_name("explained")


def explained(name: str) -> str:
    """Empty where nothing is said."""
    path = PLACE / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
