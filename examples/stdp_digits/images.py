"""Images of 28 x 28 pixels and their classes, through the project's reader of data."""

from __future__ import annotations

import numpy as np
from constants import PIXELS
from experiment import Split

from snnc.data import open_data


def read(data: str) -> Split:
    """The images of a DATA text, such as `mnist:DIR#train`. Exits if they are not of 28 x 28."""
    dataset = open_data(data)
    samples, classes = dataset.take(np.arange(len(dataset)))
    flat = samples.reshape(len(samples), -1)
    if flat.shape[1] != PIXELS or classes is None:
        raise SystemExit(f"{data}: not labelled grey images of 28 x 28 pixels")
    return Split(images=np.rint(flat * 255).astype(np.uint8), classes=classes.astype(np.int64))
