"""No module imports itself by way of others, imports for types included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

PACKAGES = {
    "snnc": "snnc",
    "snnc_passes": "passes/snnc_passes",
    "snnc_backends": "backends/snnc_backends",
}
LONGEST = 350
"""Lines of a shipped file."""
LONGEST_FUNCTION = 40
"""Lines of a shipped function, from its `def` to its end."""


def modules(repository: Path) -> dict[str, Path]:
    """Every shipped module by its dotted name."""
    found: dict[str, Path] = {}
    for package, folder in PACKAGES.items():
        home = repository / folder
        for path in home.rglob("*.py"):
            parts = (package, *path.relative_to(home).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every `from module import name`; other imports are of other packages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((node.module, alias.name) for alias in node.names)


def test_there_is_no_cycle(repository: Path) -> None:
    known = modules(repository)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in known.items():
        for module, member in imports(path):
            target = f"{module}.{member}" if f"{module}.{member}" in known else module
            if target in known and target != name:
                graph.add_edge(name, target)
    assert graph.number_of_edges() > 500
    cycles = [sorted(each) for each in nx.strongly_connected_components(graph) if len(each) > 1]
    assert cycles == []


def test_no_shipped_file_is_too_long(repository: Path) -> None:
    lengths = {
        n: len(p.read_text(encoding="utf-8").splitlines()) for n, p in modules(repository).items()
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function of a file, methods and inner functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_shipped_function_is_too_long(repository: Path) -> None:
    lengths = {
        f"{module}.{name}": lines
        for module, path in modules(repository).items()
        for name, lines in functions(path)
    }
    assert len(lengths) > 1000
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}
