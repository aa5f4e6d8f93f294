"""The texts in a program that torch would evaluate, which here are parsed and compared only."""

from __future__ import annotations

import ast

from snnc.errors import ModelError
from snnc.frontends.pt2.archive import DISTRUST

_FUNCTIONS = frozenset(
    {"Symbol", "Integer", "Mul", "Add", "Pow", "FloorDiv", "Mod", "PythonMod", "CleanDiv",
     "Min", "Max", "TruncToInt", "CeilToInt", "IntTrueDiv", "Eq", "Ne", "Lt", "Le", "Gt", "Ge"}
)  # fmt: skip
"""Functions that texts of sizes call; none is called here."""

_LONGEST = 2000  # characters; a longer one would take the parser long
_METHODS = frozenset({"size", "dim", "stride"})
_ATTRIBUTES = _METHODS | {"shape", "ndim"}
_ALLOWED = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Attribute,
    ast.Subscript, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop,
    ast.boolop, ast.cmpop,
)  # fmt: skip


def symbol(text: object, file: str) -> str | None:
    """The name of the size that `text` is, None for a computed one.

    Raises `ModelError` for a text that torch does not write of sizes.
    """
    body = _parsed(text, file)
    if isinstance(body, ast.Name):
        return body.id
    match body:
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=name)]):
            return str(name)
        case _:
            return None


def check_guards(texts: object, file: str) -> None:
    """Raise `ModelError` unless every guard compares sizes of the input."""
    if not isinstance(texts, list):
        raise TypeError(texts)
    for text in texts:
        _parsed(text, file)


def _parsed(text: object, file: str) -> ast.expr:
    if len(str(text)) > _LONGEST:
        raise _refused(text, file)
    try:
        tree = ast.parse(str(text), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(text, file) from None
    if not all(_harmless(node) for node in ast.walk(tree)):
        raise _refused(text, file)
    return tree.body


def _harmless(node: ast.AST) -> bool:
    if not isinstance(node, _ALLOWED):
        return False
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute):
            return called.attr in _METHODS
        return isinstance(called, ast.Name) and called.id in _FUNCTIONS
    return not isinstance(node, ast.Attribute) or node.attr in _ATTRIBUTES


def _refused(text: object, file: str) -> ModelError:
    shown = ascii(str(text)[:60])
    return ModelError(f"{file} has {shown} in place of a size, which is code", hint=DISTRUST)
