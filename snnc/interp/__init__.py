"""The reference meaning of every op, in plain torch."""

from snnc.interp.count_pool import CountPool
from snnc.interp.interpreter import Interpreter, Run, SnnValues, run_ann, run_snn
from snnc.interp.neuron import Population
from snnc.interp.ops import evaluate, for_sample
from snnc.interp.stateful import StatefulMeaning

__all__ = [
    "CountPool",
    "Interpreter",
    "Population",
    "Run",
    "SnnValues",
    "StatefulMeaning",
    "evaluate",
    "for_sample",
    "run_ann",
    "run_snn",
]
