"""Which ErrorCodes the code can give, read from its syntax trees; docs/reference/error-codes.md must explain each.

A code is an argument of `BrokenError`, `ReleaseError`, `Failure` or `controller.plans.failed`. If this module cannot
read a code, it raises an error that says where.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs" / "reference" / "error-codes.md"

CODE = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*")
CARRIERS = frozenset({"BrokenError", "ReleaseError", "Failure"})
FAILED = "aerodrome.controller.plans.failed"
OF_CODES = frozenset({"aerodrome.release.failures", "aerodrome.model.phases"})
"""Modules that have every code that they give in a constant."""


@dataclass
class _Module:
    """One file: its constants, the meaning of its imported names, and its tree."""

    name: str
    path: Path
    tree: ast.Module
    values: dict[str, ast.expr] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)


def given(source: Path = SOURCE) -> dict[str, list[str]]:
    """Every code, and the places that give it."""
    modules = {module.name: module for module in (_read(path, source) for path in sorted(source.rglob("*.py")))}
    found: dict[str, list[str]] = {}
    for module in modules.values():
        for code, line in _of_module(module, modules):
            found.setdefault(code, []).append(f"{module.path.relative_to(source)}:{line}")
    return found


def explained(page: Path = PAGE) -> set[str]:
    """The codes that have a row on the page; the first cell of such a row is only the code."""
    return set(re.findall(r"^\| `([^`]+)` \|", page.read_text(), flags=re.MULTILINE))


def differences() -> list[str]:
    """A sentence for each code that the page lacks, and for each row whose code nothing gives."""
    codes, told = given(), explained()
    return [
        *(f"{code} is not explained ({codes[code][0]})" for code in sorted(codes.keys() - told)),
        *(f"{code} is explained, and nothing gives it" for code in sorted(told - codes.keys())),
    ]


def _read(path: Path, source: Path) -> _Module:
    name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
    module = _Module(name, path, ast.parse(path.read_text(), str(path)))
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            module.values[node.targets[0].id] = node.value
        elif isinstance(node, ast.ImportFrom):
            module.imported |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return module


def _of_module(module: _Module, modules: Mapping[str, _Module]) -> Iterator[tuple[str, int]]:
    if module.name in OF_CODES:
        for value in module.values.values():
            yield from ((code, value.lineno) for code in _literals(value))
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _defaults(function)
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (told := _told(call, module)) is not None:
                    yield from ((code, call.lineno) for code in _codes(told, function, module, modules))


def _told(call: ast.Call, module: _Module) -> ast.expr | None:
    """The expression of the code in a call; None = the call has no code."""
    match call.func:
        case ast.Name(id=name) if module.imported.get(name) == FAILED:
            return call.args[0]
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in CARRIERS:
            return next((each.value for each in call.keywords if each.arg == "code"), None)
    return None


def _defaults(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, int]]:
    """The default codes of a function's arguments, for calls that name no code."""
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if argument.arg == "code" and default is not None:
            yield from ((code, default.lineno) for code in _literals(default))


def _codes(
    told: ast.expr,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    module: _Module,
    modules: Mapping[str, _Module],
) -> list[str]:
    """The codes that an expression can be; none if it passes a code on, because that code was given elsewhere."""
    match told:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if (
            other := modules.get(module.imported.get(name, ""))
        ) is not None:
            return _literals(other.values[attribute])
        case ast.Attribute(attr="code") | ast.Subscript(slice=ast.Constant(value="code")):
            return []
        case ast.Name(id=name):
            arguments = (*function.args.args, *function.args.kwonlyargs)
            if name in {argument.arg for argument in arguments}:
                return []
            found = _named(name, module, modules)
            if found:
                return found
    raise AssertionError(f"{module.path}:{told.lineno}: cannot tell which code this is: {ast.unparse(told)}")


def _named(name: str, module: _Module, modules: Mapping[str, _Module]) -> list[str]:
    """The codes behind a name: a constant of this module or of another."""
    if name in module.values:
        return _literals(module.values[name])
    if name in module.imported:
        owner, _, constant = module.imported[name].rpartition(".")
        return _literals(modules[owner].values[constant])
    return []


def _literals(value: ast.expr) -> list[str]:
    return [
        node.value
        for node in ast.walk(value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    ]
