"""Figures of hardware for people: four digits and a unit with a fitting prefix."""

from __future__ import annotations

PREFIXES: dict[str, tuple[tuple[float, str], ...]] = {
    "pj": ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1, "pJ")),
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")),
    "um2": ((1e6, "mm²"), (1, "µm²")),
}
"""Per unit of a key its prefixes with their factors."""


def quantity(value: float, unit: str) -> str:
    """A value with its unit: `quantity(1546.4, "pj")` is 1.546 nJ."""
    prefixes = PREFIXES[unit]
    factor, name = next((each for each in prefixes if abs(value) >= each[0]), prefixes[-1])
    return f"{value / factor:.4g} {name}"


def energy_parts(cost: dict[str, float]) -> str:
    """The parts of `energy_pj`, in words."""
    names = ("dynamic", "static", "input_output")
    return ", ".join(
        f"{quantity(cost[f'{name}_energy_pj'], 'pj')} {name.replace('_', '/')}" for name in names
    )
