"""What every op means, in torch: the oracle, and what calibration and training run."""

from snnc.interp.execute import Interpreter, Run, SnnValues, run_ann, run_snn
from snnc.interp.hooks import LayerStatistics, layer_statistics, spike_cost, watch
from snnc.interp.network import SpikingNetwork, from_torch, to_torch
from snnc.interp.neuron import Population
from snnc.interp.surrogate import (
    SURROGATES,
    AnySurrogate,
    Atan,
    Exponential,
    FastSigmoid,
    PiecewiseLinear,
    Rectangular,
    Sigmoid,
    Stdb,
    Surrogate,
    TimedSurrogate,
    Triangle,
    find_surrogate,
)

__all__ = [
    "AnySurrogate",
    "Atan",
    "Exponential",
    "FastSigmoid",
    "Interpreter",
    "LayerStatistics",
    "PiecewiseLinear",
    "Population",
    "Rectangular",
    "Run",
    "SURROGATES",
    "Sigmoid",
    "SnnValues",
    "SpikingNetwork",
    "Stdb",
    "Surrogate",
    "TimedSurrogate",
    "Triangle",
    "find_surrogate",
    "from_torch",
    "layer_statistics",
    "run_ann",
    "run_snn",
    "spike_cost",
    "to_torch",
    "watch",
]
