"""Calibration, training and evaluation data: the DATA grammar of the command line."""

from snnc.data.dataset import Dataset, first_samples, held_out, open_data
from snnc.data.spec import DataSpec, parse

__all__ = ["DataSpec", "Dataset", "first_samples", "held_out", "open_data", "parse"]
