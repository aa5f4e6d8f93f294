"""Technology tables: the energy, power, time and area of every component, with their sources."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from math import isfinite
from pathlib import Path
from typing import Any

from snnc.errors import UsageError, one_line
from snnc.special_file import is_special

UNITS: Mapping[str, Mapping[str, float]] = {
    "energy": {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3},
    "power": {"nW": 1e-6, "uW": 1e-3, "mW": 1.0},
    "time": {"ps": 1e-3, "ns": 1.0, "us": 1e3},
    "area": {"um2": 1.0, "mm2": 1e6},
}
"""Per section its units, in pJ, mW, ns and um2."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "energy": (
        "cell", "row", "sample", "shift_add", "buffer_bit", "membrane_access", "neuron_update",
        "leak_update", "addition", "multiplication", "hop", "link_bit", "write",
    ),
    "power": ("row", "converter", "tile", "core"),
    "time": ("read", "conversion"),
    "area": ("cell", "row", "column", "shift_add", "registers", "membrane_bit", "core"),
}  # fmt: skip
"""Per section the entries it may have."""
BY_BITS = {"energy": "conversion", "area": "converter"}
"""Per section the entry that has a table of its own for every resolution of a converter."""
KEYS = ("node_nm", "about", "converters_per_tile")
FIELDS = ("value", "unit", "node_nm", "source", "scaled")
GROWTH = 2.0
"""Factor of the energy and the area of a converter for one bit more than the table has."""
LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One value of a table.

    Attributes:
        name: section and name, e.g. `energy.row`, `energy.conversion.8`.
        value: in the unit of the section: pJ, mW, ns or um2.
        node_nm: process node of the value.
        source: where it comes from.
        scaled: how it was got from a figure of another node; "" if it was not.
    """

    name: str
    value: float
    node_nm: float
    source: str
    scaled: str = ""


@dataclass(frozen=True)
class Technology:
    """A technology table.

    Attributes:
        name: of a table of the package, or the path of a file.
        node_nm: process node of the chip.
        about: what it describes.
        converters_per_tile: analog-to-digital converters that share the columns of a tile.
        entries: by name.
    """

    name: str
    node_nm: float
    about: str
    converters_per_tile: int
    entries: Mapping[str, Entry]

    def value(self, name: str) -> float | None:
        """The value of an entry; None where the table has none."""
        entry = self.entries.get(name)
        return None if entry is None else entry.value

    def of_bits(self, section: str, bits: int) -> float | None:
        """Energy of a conversion, or area of a converter, of so many bits.

        That of the next resolution in the table; beyond the largest, `GROWTH` times as much for
        each further bit.
        """
        start = f"{section}.{BY_BITS[section]}."
        known = sorted(int(n.removeprefix(start)) for n in self.entries if n.startswith(start))
        if not known:
            return None
        nearest = next((each for each in known if each >= bits), known[-1])
        extra = max(0, bits - known[-1])
        return self.entries[f"{start}{nearest}"].value * GROWTH**extra

    def most_bits(self) -> int:
        """The largest resolution with an energy of its own; 0 without any."""
        start = "energy.conversion."
        return max(
            (int(n.removeprefix(start)) for n in self.entries if n.startswith(start)), default=0
        )

    def json(self) -> dict[str, Any]:
        """JSON-able; `from_json` reads it back."""
        return {**asdict(self), "entries": [asdict(entry) for entry in self.entries.values()]}


def from_json(stored: Mapping[str, Any]) -> Technology:
    """The table that `Technology.json` gave. Raises `ValueError`, `KeyError` or `TypeError`."""
    entries = [Entry(**entry) for entry in stored["entries"]]
    if not all(isfinite(entry.value) and entry.value >= 0 for entry in entries):
        raise ValueError("a value that is negative or not finite")
    return Technology(**{**stored, "entries": {entry.name: entry for entry in entries}})


def built_in() -> list[str]:
    """Names of the tables of the package."""
    return sorted(each.name.removesuffix(".toml") for each in _tables().iterdir())


def _tables() -> Traversable:
    """The folder of the tables of the package."""
    return files("snnc_backends.crossbar.cost") / "technology"


def is_file_name(name: str) -> bool:
    """Whether `name` is a file's: it has a folder or the suffix .toml."""
    return name.endswith(".toml") or "/" in name


def technology(name: str) -> Technology:
    """The table of this name or file. Raises `UsageError`."""
    if not is_file_name(name):
        if name not in built_in():
            raise UsageError(f"unknown technology {name!r}", hint=_choices())
        return parse(name, (_tables() / f"{name}.toml").read_text("utf-8"))
    return parse(name, read_text(Path(name), "technology"))


def _choices() -> str:
    return f"one of: none, {', '.join(built_in())}, or a file NAME.toml"


def read_text(path: Path, what: str) -> str:
    """The text of a small file that an option names. Raises `UsageError`."""
    try:
        if is_special(path) or path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{what} {path}: no file, or one of more than {LARGEST_FILE} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UsageError(f"cannot read {what} {path}: {reason}") from None


def parse(name: str, text: str) -> Technology:
    """The table in a TOML text. Raises `UsageError` naming the entry that is wrong."""
    try:
        document = tomllib.loads(text)
        return _table(name, document)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"technology {name} is not readable TOML: {one_line(error)}") from None
    except ValueError as error:
        reason, *hints = error.args
        hint = hints[0] if hints else None
        raise UsageError(f"technology {name}: {reason}", hint=hint) from None


def _table(name: str, document: Mapping[str, Any]) -> Technology:
    """The table of a document. Raises `ValueError`; its second argument, if any, is a hint."""
    _known(document, (*KEYS, *UNITS), "")
    node = _positive(document.get("node_nm"), "node_nm", "the process node of the chip in nm")
    about, converters = document.get("about", ""), document.get("converters_per_tile", 1)
    if not isinstance(about, str):
        raise ValueError("about must be a text")
    if type(converters) is not int or converters < 1:
        raise ValueError(f"converters_per_tile must be a positive whole number, not {converters!r}")
    entries = [
        _entry(full, fields, section, node)
        for section in UNITS
        for full, fields in _fields(section, document.get(section, {}))
    ]
    if not entries:
        raise ValueError("it has no entries")
    return Technology(name, node, about, converters, {entry.name: entry for entry in entries})


def _fields(section: str, given: Any) -> Iterator[tuple[str, Any]]:
    """Every entry of a section with its name."""
    by_bits = BY_BITS.get(section, "")
    if not isinstance(given, Mapping):
        raise ValueError(f"{section} must be a table")
    _known(given, (*NAMES[section], *filter(None, [by_bits])), f"{section}.")
    for name, fields in given.items():
        if name != by_bits:
            yield f"{section}.{name}", fields
            continue
        if not isinstance(fields, Mapping):
            raise ValueError(f"{section}.{name} must have a table for every number of bits")
        for bits, inner in fields.items():
            if not bits.isascii() or not bits.isdigit() or not 1 <= int(bits) <= 24:
                raise ValueError(f"{section}.{name}.{bits}: bits are 1 to 24")
            yield f"{section}.{name}.{int(bits)}", inner


def _entry(name: str, given: Any, section: str, node: float) -> Entry:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must have value, unit, node_nm and source")
    _known(given, FIELDS, f"{name}.")
    value, unit = given.get("value"), str(given.get("unit"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} needs a number as its value")
    if value < 0:
        raise ValueError(f"{name}: a value of {value}, which is negative")
    if unit not in UNITS[section]:
        raise ValueError(f"{name}: unit must be one of {', '.join(UNITS[section])}, not {unit!r}")
    own = _positive(given.get("node_nm"), f"{name}.node_nm", "the node of its value in nm")
    source, scaled = given.get("source"), given.get("scaled", "")
    if not isinstance(source, str) or not source.strip():
        raise ValueError(f"{name} needs a source, a text that is not empty")
    if not isinstance(scaled, str):
        raise ValueError(f"{name}.scaled must be a text")
    if own != node and not scaled.strip():
        raise ValueError(
            f"{name} is of {own:g} nm, the chip of {node:g} nm",
            "scale the value, give its new node_nm, and say in `scaled` how; or say there that it "
            "is not scaled",
        )
    return Entry(name, value * UNITS[section][unit], own, source, scaled)


def _known(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    wrong = [name for name in given if name not in names]
    if wrong:
        raise ValueError(f"unknown entry {where}{wrong[0]}", f"known: {', '.join(names)}")


def _positive(value: Any, name: str, what: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be {what}, not {value!r}")
    return float(value)
