"""Measurements on programs: accuracy and activity, and equality with the reference."""

from snnc.analysis.equivalence import Comparison, compare
from snnc.analysis.evaluate import Ann, Evaluation, Window, evaluate

__all__ = ["Ann", "Comparison", "Evaluation", "Window", "compare", "evaluate"]
