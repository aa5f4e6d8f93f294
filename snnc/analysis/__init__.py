"""Measurements on programs: accuracy, activity, what they do, equality with the reference."""

from snnc.analysis.equivalence import Comparison, compare
from snnc.analysis.evaluate import Ann, Evaluation, Window, evaluate
from snnc.analysis.observations import AnnStage, observe, spike_values

__all__ = [
    "Ann",
    "AnnStage",
    "Comparison",
    "Evaluation",
    "Window",
    "compare",
    "evaluate",
    "observe",
    "spike_values",
]
