"""Spiking networks as torch modules, and the fast interpreter for calibration and training."""

from snnc.training.fast_interpreter import FastInterpreter
from snnc.training.spike_cost import spike_cost
from snnc.training.spiking_network import SpikingNetwork, from_torch, to_torch
from snnc.training.statistics import LayerStatistics, layer_statistics, watch
from snnc.training.surrogate import (
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
    "FastInterpreter",
    "FastSigmoid",
    "LayerStatistics",
    "PiecewiseLinear",
    "Rectangular",
    "SURROGATES",
    "Sigmoid",
    "SpikingNetwork",
    "Stdb",
    "Surrogate",
    "TimedSurrogate",
    "Triangle",
    "find_surrogate",
    "from_torch",
    "layer_statistics",
    "spike_cost",
    "to_torch",
    "watch",
]
