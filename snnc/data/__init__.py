"""Calibration, training and evaluation data: the DATA grammar of the command line."""

from snnc.data.dataset import Dataset, open_data
from snnc.data.spec import DataSpec, parse

__all__ = ["DataSpec", "Dataset", "open_data", "parse"]
