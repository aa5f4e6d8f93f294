"""What every op means, in torch: the oracle, and what calibration and training run."""

from snnc.interp.execute import Interpreter, Run, SnnValues, run_ann, run_snn
from snnc.interp.neuron import Population
from snnc.interp.surrogate import PiecewiseLinear, Surrogate

__all__ = [
    "Interpreter",
    "PiecewiseLinear",
    "Population",
    "Run",
    "SnnValues",
    "Surrogate",
    "run_ann",
    "run_snn",
]
