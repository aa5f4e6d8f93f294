"""`snnc passes · recipes · targets · devices · exporters · frontends`: what is installed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from snnc.cli import options
from snnc.cli.console import Output
from snnc.errors import PluginError
from snnc.plugins import BACKENDS, DEVICES, EXPORTERS, FRONTENDS, PASSES, RECIPES, Registry

GROUPS = {
    "passes": (PASSES, "quantize"),
    "recipes": (RECIPES, "convert"),
    "targets": (BACKENDS, "cpu"),
    "devices": (DEVICES, "ideal"),
    "exporters": (EXPORTERS, "text"),
    "frontends": (FRONTENDS, "fx"),
}
"""Every verb with its group of plugins, and one of them as an example."""


def register(app: typer.Typer) -> None:
    """Add one verb for each group."""
    for verb, (group, example) in GROUPS.items():
        command = _command(verb, group)
        command.__doc__ = (
            f"Show the installed {verb}, or one of them with its options.\n\n"
            f"Example: snnc {verb} {example}"
        )
        options.add(app, verb, command)


def _command(verb: str, group: str) -> Callable[..., None]:
    def show(
        *,
        name: Annotated[
            str | None, typer.Argument(metavar="[NAME]", help="One of them, with options.")
        ] = None,
        out: options.Out,
    ) -> None:
        registry = Registry(group)
        if name is None:
            _list(out, verb, registry)
        else:
            _detail(out, registry, name)

    return show


def _list(out: Output, verb: str, registry: Registry) -> None:
    """Print name, summary and distribution of every plugin without importing any."""
    entries = {entry.name: entry for entry in entry_points(group=registry.group)}
    rows: list[dict[str, str]] = []
    for name in registry.names():
        try:
            owner = str(registry.owner(name))
        except PluginError as error:
            rows.append({"name": name, "from": "", "summary": f"unusable: {error.message}"})
            continue
        rows.append(
            {
                "name": name,
                "from": owner,
                "summary": summary(entries[name].module, entries[name].attr),
            }
        )
    out.document({"kind": verb, verb: rows})
    columns = ("name", "summary", "from")
    out.table(columns, [[row[column] for column in columns] for row in rows])


def summary(module: str, attribute: str, hops: int = 3) -> str:
    """First line of a plugin's docstring, parsed from its source without importing it.

    A re-exported name is followed through up to `hops` imports.
    """
    try:
        tree = ast.parse(_source(module))
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        return f"cannot be read: {type(error).__name__}: {error}"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").strip().split("\n")[0]
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and hops:
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return summary(node.module, alias.name, hops - 1)
    return ""


def _source(module: str) -> str:
    """The text of a module, found without importing it or any package above it."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {top!r}")
    if not rest:
        return Path(spec.origin).read_text(encoding="utf-8")
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate.read_text(encoding="utf-8")
    raise ModuleNotFoundError(f"no module {module!r}")


def _detail(out: Output, registry: Registry, name: str) -> None:
    """Documentation, options and contract of one plugin, imported."""
    from dataclasses import is_dataclass
    from inspect import getdoc

    from snnc.pipeline import options_of

    plugin = registry.get(name)
    described = options_of(plugin) if isinstance(plugin, type) and is_dataclass(plugin) else ()
    facts: dict[str, Any] = {
        "kind": registry.noun,
        "name": name,
        "from": str(registry.owner(name)),
        "documentation": getdoc(plugin) or "",
        "options": [{"name": o.name, "type": o.type, "default": o.default} for o in described],
        **_contract(plugin),
    }
    out.document(facts)
    out.line(f"{name}, from {facts['from']}")
    for key in ("takes", "gives", "needs", "pipeline"):
        if facts.get(key):
            value = facts[key]
            out.line(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    out.line()
    out.line(facts["documentation"])
    if described:
        out.line()
        rows = [(o.name, o.type, "required" if o.default is None else o.default) for o in described]
        out.table(("option", "type", "default"), rows)


def _contract(plugin: Any) -> dict[str, Any]:
    """Stages and needs of a pass, the pipeline of a recipe with default options."""
    contract: dict[str, Any] = {
        key: str(getattr(plugin, key)) for key in ("takes", "gives") if hasattr(plugin, key)
    }
    if hasattr(plugin, "needs"):
        contract["needs"] = sorted(plugin.needs)
    if hasattr(plugin, "pipeline"):
        try:
            contract["pipeline"] = plugin().pipeline()
        except TypeError:  # an option without default
            contract["pipeline"] = ""
    return contract
