"""Writes docs/syscalls.md, or with --check says whether it is current."""

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


def main() -> int:
    wanted = current()
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
