"""The floors of the house: a file uses lower floors, or its own stem, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "zaptrace"
C = ROOT / "csrc"

FLOORS = {
    0: "errors ids demo_program",
    0.5: "log",
    1: "native procfs plain runtime keys terminal writebehind",
    1.3: "manifest podlog workers",
    1.6: "sink program",
    2: "tracee host image channel",
    3: "frozen build wire",
    4: "resources._room resources._libc",
    4.5: "resources._*",
    4.7: "resources._unix_queue",
    5: "resources.*",
    6: "registry",
    7: "pod",
    8: "checkpoint restore",
    8.5: "suitability",
    8.8: "migrate_source migrate_destination",
    9: "migrate",
    10: "precopy postcopy control",
    10.5: "starter",
    10.6: "engine front",
    10.7: "audience",
    10.8: "verbs",
    11: "server supervisor demo",
    12: "cli._common",
    12.1: "cli._foreground",
    12.2: "cli._start",
    12.5: "cli.*",
    12.9: "cli.__init__",
    13: "__init__ __main__",
}
"""Modules of zaptrace/, lowest first. `a.*` is every file of that package not named itself."""

GENERATED = ("_native", "_tables")
"""Made by the build: the extension and what gen_tables.py writes. They use nothing of ours."""

C_FLOORS = {
    0: r"api\.h|vdso/.*",
    1: r"base/.*",
    2: r"arch/.*",
    3: r"ptrace/.*",
    4: r"pod/.*",
    5: r"resources/resource\.h",
    6: r"resources/(?!all\.|resource\.h).*",
    7: r"loop/.*",
    8: r"api\.c",
}
"""Files of csrc/. The vDSO is a program of its own, that nothing here is linked with."""

C_GENERATED = re.compile(r"zt_(tables|filter|hooks|vdso_image)\.h")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PYTHON.rglob("*.py")):
        found[".".join(path.relative_to(PYTHON).with_suffix("").parts)] = path
    return found


def floor(module: str) -> float | None:
    if module in GENERATED:
        return -1
    for number, names in FLOORS.items():
        if module in names.split():
            return number
    for number, names in FLOORS.items():
        for name in names.split():
            if name.endswith("*") and module.startswith(name[:-1]):
                return number
    return None


def imports(module: str, path: Path) -> set[str]:
    """The modules of ours that a file imports, as names relative to the package."""
    package = ["zaptrace", *module.split(".")][:-1]
    known = modules()
    found: set[str] = set()

    def add(target: list[str], names: list[str]) -> None:
        if target[:1] != ["zaptrace"]:
            return
        base = ".".join(target[1:])
        for name in names or [""]:
            full = f"{base}.{name}".strip(".")
            for candidate in (
                full,
                f"{full}.__init__".strip("."),
                base,
                f"{base}.__init__".strip("."),
            ):
                if candidate in known or candidate in GENERATED:
                    found.add(candidate)
                    break

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name.split("."), [])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = base + (node.module.split(".") if node.module else [])
            add(target, [alias.name for alias in node.names])
    # An empty resources/__init__ is the way to a room, not a thing that is used.
    return found - {"resources.__init__"}


def test_every_file_has_a_floor():
    homeless = [m for m in modules() if floor(m) is None and m != "resources.__init__"]
    assert not homeless, f"give these a floor in FLOORS: {homeless}"


def test_nothing_uses_a_higher_floor():
    wrong = []
    for module, path in modules().items():
        if floor(module) is None:
            continue
        for used in imports(module, path):
            if used == module or used.split(".")[-1] == module.split(".")[-1]:
                continue
            if floor(used) >= floor(module):
                wrong.append(f"{module} ({floor(module)}) uses {used} ({floor(used)})")
    assert not wrong, "\n".join(sorted(wrong))


def test_no_room_uses_a_room():
    rooms = [m for m in modules() if floor(m) == 5 and m != "resources.__init__"]
    wrong = [
        f"{m} uses {u}" for m in rooms for u in imports(m, modules()[m]) if u in rooms and u != m
    ]
    assert not wrong, wrong


def test_resources_package_is_empty():
    body = ast.parse((PYTHON / "resources/__init__.py").read_text()).body
    assert all(isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) for n in body), (
        "the list of rooms is registry.py"
    )


def room_files() -> list[Path]:
    return [p for p in sorted((PYTHON / "resources").glob("*.py")) if not p.name.startswith("_")]


@pytest.mark.parametrize("path", room_files(), ids=lambda p: p.stem)
def test_room_has_its_parts(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), (
        "a room opens with what the kernel keeps and what is not carried"
    )
    names = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    constants = {
        target.id
        for n in tree.body
        if isinstance(n, (ast.Assign, ast.AnnAssign))
        for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
        if isinstance(target, ast.Name)
    }
    assert "NAME" in constants
    assert isinstance(names.get("State"), ast.ClassDef), "State"
    assert "frozen=True" in "".join(map(ast.unparse, names["State"].decorator_list)), (
        "State is frozen"
    )
    for function, arguments in (("capture", 1), ("restore", 2)):
        assert isinstance(names.get(function), ast.FunctionDef), function
        assert len(names[function].args.args) == arguments, function
    order = [names[n].lineno for n in ("State", "capture", "restore")]
    assert order == sorted(order), "a room is read in this order: State, capture, restore"


def test_registry_lists_each_room_once():
    listed = re.findall(
        r"\b(\w+)\b",
        "\n".join(
            ast.unparse(n.value)
            for n in ast.parse((PYTHON / "registry.py").read_text()).body
            if isinstance(n, (ast.Assign, ast.AnnAssign)) and n.value is not None
        ),
    )
    for path in room_files():
        assert listed.count(path.stem) == 1, (
            f"{path.stem} is in registry.py {listed.count(path.stem)} times"
        )


def c_files() -> dict[str, Path]:
    return {str(p.relative_to(C)): p for p in sorted(C.rglob("*.[chS]"))}


def c_floor(name: str) -> float | None:
    return next((n for n, pattern in C_FLOORS.items() if re.fullmatch(pattern, name)), None)


def includes(name: str, path: Path) -> set[str]:
    found = set()
    for used in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE):
        for base in (path.parent, C):
            target = (base / used).resolve()
            if target.is_file():
                found.add(str(target.relative_to(C)))
                break
        else:
            assert C_GENERATED.fullmatch(Path(used).name), (
                f"{name} includes {used}, which is nowhere"
            )
    return found


def test_every_c_file_has_a_floor():
    homeless = [n for n in c_files() if c_floor(n) is None]
    assert not homeless, f"give these a floor in C_FLOORS: {homeless}"


def test_no_c_file_uses_a_higher_floor():
    wrong = []
    for name, path in c_files().items():
        for used in includes(name, path):
            same_floor = c_floor(used) == c_floor(name)
            # Below the rooms, the files of one directory may use one another's headers.
            neighbours = (
                same_floor
                and Path(used).parent == Path(name).parent
                and c_floor(name) in (0, 1, 2, 3, 4, 7)
            )
            own = Path(used).with_suffix("") == Path(name).with_suffix("")
            if not own and not neighbours and c_floor(used) >= c_floor(name):
                wrong.append(f"{name} ({c_floor(name)}) includes {used} ({c_floor(used)})")
    assert not wrong, "\n".join(wrong)


def test_api_h_uses_nothing_of_ours():
    """It is the cffi cdef as well."""
    if (C / "api.h").exists():
        assert not includes("api.h", C / "api.h")


def test_both_halves_of_a_room_have_one_name():
    halves = {p.stem for p in (C / "resources").glob("*.c")} - {"all"}
    rooms = {p.stem: p for p in room_files()}
    assert halves <= set(rooms), f"no Python half: {sorted(halves - set(rooms))}"
    silent = [
        name
        for name, path in rooms.items()
        if name not in halves
        and not re.search(
            r"(?i)no (c|lower) half", ast.get_docstring(ast.parse(path.read_text())) or ""
        )
    ]
    assert not silent, f"say in the docstring that there is no C half, and why: {silent}"
