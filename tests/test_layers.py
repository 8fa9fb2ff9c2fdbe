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
    "cancel errors ids limits log plain record screen shapes text",
    "linux",
    "image",
    "network",
    "view",
    "resources",
    "pod",
    "migration",
    "supervisor",
    "server demo",
    "api",
    "aio notebook",
    "cli",
    "__init__ __main__",
)
"""Folders and files at the top of zaptrace/, lowest first."""

MOST_AT_THE_TOP = 12

GENERATED = ("_native",)
"""Made by the build: the extension. It uses nothing of ours."""

C_FLOORS = ("vdso api.h", "base", "arch", "ptrace", "pod", "resources", "loop", "api.c")
"""Folders and files at the top of csrc/, lowest first. The vDSO is a program of its own, that
nothing here is linked with."""

C_GENERATED = re.compile(r"zt_(tables|shared|filter|hooks|vdso_image)\.h")


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


def c_floor(name: str) -> int:
    """The number of the floor; -1 for a file or folder that is on none."""
    top = name.split("/")[0]
    return next((n for n, names in enumerate(C_FLOORS) if top in names.split()), -1)


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
    homeless = [n for n in c_files() if c_floor(n) == -1]
    assert not homeless, f"give these a floor in C_FLOORS: {homeless}"


def test_no_c_file_uses_a_higher_floor():
    wrong = [
        f"{name} includes {used}"
        for name, path in c_files().items()
        for used in includes(name, path)
        if c_floor(used) > c_floor(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_c_file_uses_itself_in_a_circle():
    """A header and its .c file are one: neither may come to need what needs the other."""
    units: dict[str, set[str]] = {}
    for name, path in c_files().items():
        unit = re.sub(r"\.[ch]$", "", name) if name != "api.c" else name
        used = {re.sub(r"\.[ch]$", "", u) for u in includes(name, path)}
        units.setdefault(unit, set()).update(used - {unit})
    try:
        TopologicalSorter(units).prepare()
    except CycleError as e:
        pytest.fail(f"a circle: {' <- '.join(e.args[1])}")


def test_no_lower_half_of_a_room_uses_a_room():
    wrong = [
        f"{name} includes {used}"
        for name, path in c_files().items()
        for used in includes(name, path)
        if name.startswith("resources/")
        and used.startswith("resources/")
        and used != "resources/resource.h"
        and not used.startswith("resources/common/")
        and not (Path(used).parent == Path(name).parent != Path("resources"))
    ]
    assert not wrong, wrong


def defined(path: Path) -> set[str]:
    """The functions that a C file defines for others to call."""
    return {
        m[1]
        for m in re.finditer(
            r"^(?!static|typedef|#)[\w *]*?\b(zt_\w+)\([^;]*?\)\n\{", path.read_text(), re.M
        )
    }


def test_a_prefix_is_its_folder():
    """zt_pod_... lies in pod/, and so for each folder; api.c is the door to all of them.

    Hooks have the name of their call, which says nothing of a folder.
    """
    folders = {p.name for p in C.iterdir() if p.is_dir()}
    found, wrong = 0, []
    for name, path in c_files().items():
        folder = name.split("/")[0]
        for function in defined(path):
            found += 1
            if re.fullmatch(r"zt_\w+_(enter|exit)", function) and folder == "resources":
                continue
            claims = function.split("_")[1]
            if claims in folders and claims != folder and name != "api.c":
                wrong.append(f"{function} in {name}")
            if folder == "loop" and claims != "loop":
                wrong.append(f"{function} in {name}")
    assert found > 100
    assert not wrong, wrong


def test_one_file_reads_proc():
    readers = [name for name, path in c_files().items() if '"/proc' in path.read_text()]
    assert readers == ["base/proc.c"], readers


def test_api_h_uses_nothing_of_ours():
    """It is the cffi cdef as well."""
    if (C / "api.h").exists():
        assert not includes("api.h", C / "api.h")


def test_both_halves_of_a_room_have_one_name():
    inside = (C / "resources").iterdir()
    halves = {p.stem for p in inside if p.suffix == ".c" or p.is_dir()} - {"common"}
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
