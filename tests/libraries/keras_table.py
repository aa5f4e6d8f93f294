"""Imports what `keras_onnx.py` exported, and prints the outcome. `python keras_table.py FOLDER`.

In an environment that has snnc and no Keras. The exit status is 1 if a network that is taken gives
other outputs than Keras did.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import SnncError
from snnc.frontends import load
from snnc.interp import run_ann
from snnc.ir import Graph
from snnc.output_function import applied

TOLERANCE = 1e-5
"""Of the largest output: Keras computes in float32."""


def error_of(graph: Graph, x: NDArray[np.float32], targets: list[NDArray[np.float32]]) -> float:
    """The largest difference from what Keras gives, relative to its largest output."""
    if x.shape[1:] != graph.type_of(graph.input).shape:
        x = np.moveaxis(x, -1, 1)  # the network takes channels first
    values = run_ann(graph, np.ascontiguousarray(x, np.float64), dtype=torch.float64)
    errors: list[float] = []
    for i, (name, target) in enumerate(zip(graph.outputs, targets, strict=True)):
        found = applied(graph.meta, values[name].numpy(), i)
        if np.allclose(target.sum(-1), 1):  # the softmax is dropped
            found = np.exp(found - found.max(-1, keepdims=True))
            found /= found.sum(-1, keepdims=True)
        errors.append(float(np.abs(found - target).max() / np.abs(target).max()))
    return max(errors)


def outcome(path: Path) -> tuple[bool, str]:
    """Whether an exported network is refused or gives what Keras gives, and what came of it."""
    start = time.process_time()
    try:
        graph = load(str(path))
    except SnncError as error:
        return True, f"refused: {error.message}"
    seconds = time.process_time() - start
    with np.load(path.with_suffix(".npz")) as stored:
        targets = [stored[f"y{i}"] for i in range(len(stored.files) - 1)]
        error = error_of(graph, stored["x"], targets)
    kinds = Counter(node.op.mnemonic for node in graph)
    text = (
        f"taken: {len(graph.nodes)} nodes, {kinds['permute']} of them permute, in {seconds:.1f} s"
    )
    return error <= TOLERANCE, f"{text}; differs from Keras by {error:.1e}"


def main(folder: Path) -> int:
    """Print the table; the number of networks that are wrong."""
    wrong = 0
    for name in json.loads((folder / "models.json").read_text()):
        right, text = outcome(folder / f"{name}.onnx")
        wrong += not right
        text = text.replace(f"{folder}/", "").replace("\n", "\n    ")
        print(f"{name}\n    {'' if right else 'WRONG: '}{text}", flush=True)
    print(f"{wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
