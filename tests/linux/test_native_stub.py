"""_native.pyi is written by hand: it says what the compiled module has, no more and no less."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zaptrace
from zaptrace._native import ffi, lib

_STUB = ast.parse((Path(zaptrace.__file__).parent / "_native.pyi").read_text(encoding="utf-8"))
_CLASSES = {node.name: node.body for node in _STUB.body if isinstance(node, ast.ClassDef)}


def _arity(function: ast.FunctionDef) -> int:
    return len(function.args.posonlyargs + function.args.args) - len(["self"])


def _fields(body: list[ast.stmt]) -> list[str]:
    return [
        node.target.id
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def test_every_function_is_declared_with_its_arguments():
    declared = {n.name: _arity(n) for n in _CLASSES["_Lib"] if isinstance(n, ast.FunctionDef)}
    functions = [name for name in dir(lib) if name.startswith("zt_")]
    assert declared == {name: len(ffi.typeof(getattr(lib, name)).args) for name in functions}


def test_every_constant_is_declared():
    assert set(_fields(_CLASSES["_Lib"])) == {name for name in dir(lib) if name.startswith("ZT_")}


def test_every_struct_has_its_fields():
    declared = {name: _fields(body) for name, body in _CLASSES.items() if name.startswith("zt_")}
    assert set(declared) == set(ffi.list_types()[0])
    for name, fields in declared.items():
        if fields:
            assert fields == [field for field, _ in ffi.typeof(name).fields], name
        else:
            with pytest.raises(ffi.error):  # api.h does not say what is in it
                ffi.sizeof(name)
