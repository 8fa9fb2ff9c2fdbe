"""The floors of the house, as its folders say them: a file uses lower floors, or lower files of its
own folder, and nothing uses itself in a circle."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "zaptrace"
C = ROOT / "csrc"

FLOORS = (
    "errors ids log plain",
    "linux",
    "image",
    "network",
    "view",
    "resources",
    "pod",
    "migration",
    "supervisor",
    "server demo",
    "cli",
    "__init__ __main__",
)
"""Folders and files at the top of zaptrace/, lowest first."""

MOST_AT_THE_TOP = 12

GENERATED = ("_native",)
"""Made by the build: the extension. It uses nothing of ours."""

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


@cache
def modules() -> dict[str, Path]:
    """Every module by its name within the package; a folder's own is that of the folder."""
    found = {}
    for path in sorted(PYTHON.rglob("*.py")):
        parts = path.relative_to(PYTHON).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)] = path
    return found


def floor(module: str) -> int:
    """The number of the floor; ValueError for a file or folder that is on none."""
    if module in GENERATED:
        return -1
    top = module.split(".")[0]
    return next((n for n, names in enumerate(FLOORS) if top in names.split()), -2)


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of ours that one imports, wherever in the file."""
    path = modules()[module]
    package = ["zaptrace", *path.relative_to(PYTHON).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        target = ".".join((base + (node.module.split(".") if node.module else []))[1:])
        for alias in node.names:
            inner = f"{target}.{alias.name}".strip(".")
            used = inner if inner in modules() or inner in GENERATED else target or "__init__"
            if (base or [*(node.module or "").split(".")])[0] == "zaptrace" and used != module:
                found.add(used)
    return frozenset(found)


def test_every_module_has_a_floor():
    homeless = [m for m in modules() if floor(m) == -2]
    assert not homeless, f"give these a floor in FLOORS: {homeless}"


def test_the_top_is_not_flat():
    files = [p.name for p in PYTHON.glob("*.py")]
    assert len(files) <= MOST_AT_THE_TOP, files


def test_nothing_uses_a_higher_floor():
    wrong = [
        f"{module} uses {used}"
        for module in modules()
        for used in imports(module)
        if floor(used) > floor(module)
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_module_uses_itself_in_a_circle():
    try:
        TopologicalSorter({m: imports(m) for m in modules()}).prepare()
    except CycleError as e:
        pytest.fail(f"a circle: {' <- '.join(e.args[1])}")


def rooms() -> dict[str, Path]:
    """Each room by name: a file of resources/, or a folder with what one room needs."""
    inside = {
        m.split(".")[1]: p for m, p in modules().items() if re.fullmatch(r"resources\.\w+", m)
    }
    return {name: path for name, path in inside.items() if name not in ("room", "common")}


def test_no_room_uses_a_room():
    """What two of them need is in resources/common."""
    wrong = []
    for module in modules():
        own = module.split(".")[1:2]
        if module.startswith("resources.") and own[0] in rooms():
            wrong += [
                f"{module} uses {used}"
                for used in imports(module)
                if used.startswith("resources.")
                and used.split(".")[1] not in (*own, "room", "common")
            ]
    assert not wrong, wrong


@pytest.mark.parametrize("path", rooms().values(), ids=rooms())
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


def test_each_room_is_listed_once():
    listed = re.findall(
        r"\b(\w+)\b",
        "\n".join(
            ast.unparse(n.value)
            for n in ast.parse((PYTHON / "resources/__init__.py").read_text()).body
            if isinstance(n, (ast.Assign, ast.AnnAssign)) and n.value is not None
        ),
    )
    for name in rooms():
        assert listed.count(name) == 1, f"{name} is listed {listed.count(name)} times"


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
            # Below the rooms, the files of one directory may use one another's headers, and those
            # of the directory that theirs lies in.
            neighbours = (
                same_floor
                and Path(used).parent in Path(name).parents
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
    assert halves <= set(rooms()), f"no Python half: {sorted(halves - set(rooms()))}"
    silent = [
        name
        for name, path in rooms().items()
        if name not in halves
        and not re.search(
            r"(?i)no (c|lower) half", ast.get_docstring(ast.parse(path.read_text())) or ""
        )
    ]
    assert not silent, f"say in the docstring that there is no C half, and why: {silent}"
