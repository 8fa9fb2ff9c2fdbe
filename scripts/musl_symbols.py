"""musl_symbols.py EXTENSION LIBC: fails when an extension asks for more than musl and Python give.

auditwheel looks only at what fits the C library of its own host; this is the same look for musl.
pyelftools comes with auditwheel.
"""

from __future__ import annotations

import sys

from elftools.elf.elffile import ELFFile


def symbols(path: str) -> tuple[set[str], set[str], set[str]]:
    """What a library defines, what it leaves undefined, and the libraries that it names."""
    with open(path, "rb") as file:
        elf = ELFFile(file)
        table = list(elf.get_section_by_name(".dynsym").iter_symbols())
        dynamic = elf.get_section_by_name(".dynamic").iter_tags()
        needed = {tag.needed for tag in dynamic if tag.entry.d_tag == "DT_NEEDED"}
    strong = [s for s in table if s.name and s.entry.st_info.bind != "STB_WEAK"]
    undefined = {s.name for s in strong if s.entry.st_shndx == "SHN_UNDEF"}
    defined = {s.name for s in table if s.entry.st_shndx != "SHN_UNDEF"}
    return defined, undefined, needed


def main() -> None:
    extension, libc = sys.argv[1:]
    _, wanted, needed = symbols(extension)
    there, _, _ = symbols(libc)
    missing = {name for name in wanted - there if not name.startswith(("Py", "_Py"))}
    others = {name for name in needed if not name.startswith("libc.")}
    if missing or others:
        raise SystemExit(f"not in musl: {' '.join(sorted(missing | others))}")


if __name__ == "__main__":
    main()
