"""Writes docs/syscalls.md and docs/refused.md, or with --check says whether they are current."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "syscalls.md"
HEAD = """\
<!-- made from csrc/syscalls.py; refresh with: make table -->

# What a pod does with each system call

Every call of x86-64 Linux 6.18, and why. A number that is not here answers ENOSYS: a call that we
do not know could make state that cannot be carried.
"""


def current() -> str:
    """The page as it should be."""
    sys.path.insert(0, str(ROOT / "csrc"))
    from gen_tables import support_table

    return f"{HEAD}\n{support_table().strip()}\n"


def refused() -> str:
    """The page of what is refused; it needs nothing that is built."""
    sys.path.insert(0, str(ROOT))
    from zaptrace.cli._topics import page

    return page()


def main() -> int:
    wanted = {PAGE: current(), PAGE.with_name("refused.md"): refused()}
    if "--check" in sys.argv:
        there = {page: page.read_text(encoding="utf-8") for page in wanted if page.exists()}
        return 0 if there == wanted else 1
    for page, text in wanted.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
