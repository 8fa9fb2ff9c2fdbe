"""Puts the table of system calls into README.md, or with --check says whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- support table: made from csrc/syscalls.py; refresh with: make table -->\n"
END = "<!-- end of the support table -->\n"


def current() -> str:
    """README.md as it should be."""
    sys.path.insert(0, str(ROOT / "csrc"))
    from gen_tables import support_table

    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{support_table().strip()}\n\n{END}{after}"


def main() -> int:
    wanted = current()
    if "--check" in sys.argv:
        return 0 if README.read_text(encoding="utf-8") == wanted else 1
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
