"""Writes a plugin package from templates: all its files, or none on an error."""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from snnc.errors import UsageError
from snnc.new_folder import new_folder
from snnc.plugins import BACKENDS, DEVICES, EXPORTERS, PASSES, Registry

KINDS: Mapping[str, str] = {
    "pass": PASSES,
    "backend": BACKENDS,
    "device": DEVICES,
    "exporter": EXPORTERS,
}
"""Kinds of plugins, and their entry-point groups."""

SUFFIX = ".tmpl"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 64


@dataclass(frozen=True)
class Plugin:
    """The names of a plugin package, all derived from `name`.

    Attributes:
        kind: a key of `KINDS`.
        name: as pipelines and targets write it, e.g. `drop-weak`.
    """

    kind: str
    name: str

    @property
    def distribution(self) -> str:
        """`snnc-drop-weak`."""
        return f"snnc-{self.name}"

    @property
    def module(self) -> str:
        """`drop_weak`."""
        return self.name.replace("-", "_")

    @property
    def package(self) -> str:
        """`snnc_drop_weak`."""
        return f"snnc_{self.module}"

    @property
    def stem(self) -> str:
        """`DropWeak`, the name of the class or its beginning."""
        return "".join(word.capitalize() for word in self.name.split("-"))


def new_plugin(kind: str, name: str, folder: Path | None = None) -> tuple[Path, tuple[str, ...]]:
    """Write a plugin package that installs and passes its own tests.

    Args:
        kind: a key of `KINDS`.
        name: lower-case words with dashes between.
        folder: the folder to create; default `snnc-NAME` in the current folder.

    Returns:
        The folder and the paths of its files within it, sorted.

    Raises:
        UsageError: a name that is invalid or taken, or a folder that cannot be created.
    """
    plugin = _checked(kind, name)
    place = Path(plugin.distribution) if folder is None else folder
    if place.exists() or place.is_symlink():
        raise UsageError(f"{place} is there already", hint="remove it, or choose another -o DIR")
    contents = _contents(plugin)
    with new_folder(place) as temporary:
        for path, text in contents.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return place, tuple(sorted(contents))


def _checked(kind: str, name: str) -> Plugin:
    if kind not in KINDS:
        raise UsageError(f"cannot make a {kind!r}", hint=f"one of: {', '.join(KINDS)}")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        hint = "lower-case letters and digits, a letter first, words joined by dashes: drop-weak"
        raise UsageError(f"{name!r} is no name of {_a(kind)}", hint=hint)
    plugin = Plugin(kind, name)
    for word in (plugin.module, plugin.stem):
        if keyword.iskeyword(word):
            raise UsageError(
                f"{word!r} is a keyword of Python", hint=f"another name, {name}-{kind}"
            )
    registry = Registry(KINDS[kind])
    if name in registry:
        owner = registry.owner(name)
        raise UsageError(f"{_a(kind)} {name!r} is installed, from {owner}", hint="another name")
    if find_spec(plugin.package) is not None or _is_installed(plugin.distribution):
        raise UsageError(f"a package {plugin.package} is installed", hint="another name")
    return plugin


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _contents(plugin: Plugin) -> dict[str, str]:
    """The text of every file, by its path in the package."""
    words = {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "package": plugin.package,
        "module": plugin.module,
        "stem": plugin.stem,
    }
    paths = {
        "package": plugin.package,
        "plugin": plugin.module,
        "test_plugin": f"test_{plugin.module}",
    }
    contents: dict[str, str] = {}
    for parts, template in _templates(files("snnc.scaffold") / plugin.kind):
        *folders, file = parts
        base, dot, suffix = file.removesuffix(SUFFIX).partition(".")
        path = "/".join([*(paths.get(part, part) for part in folders), paths.get(base, base)])
        contents[path + dot + suffix] = Template(template.read_text(encoding="utf-8")).substitute(
            words
        )
    for path, text in contents.items():
        if path.endswith(".py"):
            _check_names(plugin, text)
    return contents


def _templates(
    folder: Traversable, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, (*above, entry.name))
        elif entry.name.endswith(SUFFIX):
            yield (*above, entry.name), entry


def _check_names(plugin: Plugin, source: str) -> None:
    """Refuse a name whose class would hide what the module imports (a pass called `graph`)."""
    bound: Counter[str] = Counter()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound[node.name] += 1
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name for alias in node.names)
    twice = [name for name, times in bound.items() if times > 1]
    if twice:
        hint = f"another name, e.g. {plugin.name}-{plugin.kind}"
        raise UsageError(f"{plugin.name!r} would make a second {twice[0]}", hint=hint)
