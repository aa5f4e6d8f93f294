"""Measurements on programs: accuracy, spike activity, energy, equality with the reference."""

from snnc.analysis.chips import over_chips
from snnc.analysis.energy import (
    Energy,
    OperationEnergy,
    energy,
    energy_of_layers,
    synaptic_operations,
)
from snnc.analysis.equivalence import Comparison, InputKind, compare
from snnc.analysis.evaluate import Ann, Evaluation, Window, evaluate
from snnc.analysis.observations import measure_layers
from snnc.analysis.same_function import SameFunction

__all__ = [
    "Ann",
    "Comparison",
    "InputKind",
    "Energy",
    "Evaluation",
    "OperationEnergy",
    "SameFunction",
    "Window",
    "compare",
    "energy",
    "energy_of_layers",
    "evaluate",
    "measure_layers",
    "over_chips",
    "synaptic_operations",
]
