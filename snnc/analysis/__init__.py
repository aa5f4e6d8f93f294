"""Measurements on programs: accuracy, activity, what they do, equality with the reference."""

from snnc.analysis.energy import Energy, OperationEnergy, energy, synaptic_operations
from snnc.analysis.equivalence import Comparison, compare
from snnc.analysis.evaluate import Ann, Evaluation, Window, evaluate
from snnc.analysis.observations import AnnStage, measure_layers

__all__ = [
    "Ann",
    "AnnStage",
    "Comparison",
    "Energy",
    "Evaluation",
    "OperationEnergy",
    "Window",
    "compare",
    "energy",
    "evaluate",
    "measure_layers",
    "synaptic_operations",
]
