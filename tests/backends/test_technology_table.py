"""Technology tables: what a file may hold, units, resolutions of converters."""

from __future__ import annotations

import re

import pytest

from snnc.errors import UsageError
from snnc_backends.crossbar.cost.technology_table import (
    BY_BITS,
    NAMES,
    Technology,
    built_in,
    from_json,
    parse,
    technology,
)

ENTRY = 'value = {value}\nunit = "{unit}"\nnode_nm = 32\nsource = "a paper"\n'


def table(**entries: tuple[float, str]) -> Technology:
    text = "node_nm = 32\n"
    for name, (value, unit) in entries.items():
        text += f"[{name.replace('__', '.')}]\n{ENTRY.format(value=value, unit=unit)}"
    return parse("made.toml", text)


@pytest.mark.parametrize("name", built_in())
def test_the_tables_of_the_package_are_complete_and_say_what_is_scaled(name: str) -> None:
    found = technology(name)
    expected = {f"{section}.{each}" for section, names in NAMES.items() for each in names}
    assert expected <= set(found.entries)
    for section in BY_BITS:
        values = [found.of_bits(section, bits) for bits in range(1, 16)]
        assert None not in values and values == sorted(values, key=float)
    for entry in found.entries.values():
        assert entry.source and entry.value > 0 and entry.node_nm == found.node_nm
        other_nodes = set(re.findall(r"(\d+) nm", entry.source)) - {f"{found.node_nm:g}"}
        assert not other_nodes or entry.scaled, entry.name
    assert from_json(found.json()) == found


def test_scaled_values_follow_from_their_sources() -> None:
    entries = technology("isaac-32nm").entries
    sources = {
        "membrane_access": 5, "neuron_update": 0.2, "leak_update": 3.1, "addition": 0.1,
        "multiplication": 3.1,
    }  # fmt: skip
    for name, at_45_nm in sources.items():
        entry = entries[f"energy.{name}"]
        assert "(32/45)^2" in entry.scaled
        assert entry.value == pytest.approx(at_45_nm * (32 / 45) ** 2, rel=0.01)


def test_units_become_those_of_the_section() -> None:
    found = table(
        energy__row=(390, "fJ"), power__tile=(85, "uW"), time__read=(0.1, "us"),
        area__core=(0.25, "mm2"),
    )  # fmt: skip
    values = {name: entry.value for name, entry in found.entries.items()}
    expected = {"energy.row": 0.39, "power.tile": 0.085, "time.read": 100, "area.core": 250_000}
    assert values == pytest.approx(expected)


def test_a_resolution_takes_the_next_higher_and_beyond_all_doubles() -> None:
    found = table(energy__conversion__4=(1, "pJ"), energy__conversion__8=(3, "pJ"))
    assert [found.of_bits("energy", bits) for bits in (1, 4, 5, 8, 9, 11)] == [1, 1, 3, 3, 6, 24]
    assert found.most_bits() == 8 and found.of_bits("area", 4) is None


def test_a_value_of_another_node_must_say_how_it_is_used() -> None:
    text = "node_nm = 32\n[energy.hop]\n" + ENTRY.format(value=3, unit="pJ")
    text = text.replace("node_nm = 32\nsource", "node_nm = 14\nsource")
    with pytest.raises(UsageError, match="of 14 nm, the chip of 32 nm"):
        parse("made.toml", text)
    found = parse("made.toml", text + 'scaled = "not scaled"\n')
    assert found.entries["energy.hop"].node_nm == 14
