"""An ONNX model as a numpy function, by the reference evaluator of the `onnx` package.

It is onnx's own definition of every operation in numpy, made without the importer and without
torch, so that comparing with it checks the import. `operators` replaces a few operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from snnc.errors import ModelError
from snnc.frontends.base import Reference
from snnc.frontends.onnx.folding import FOLDED
from snnc.frontends.onnx.layout import as_model_takes, input_order
from snnc.frontends.onnx.operators import OPERATORS
from snnc.frontends.onnx.ops_activation import SQUASHING
from snnc.frontends.onnx.reading import DOMAINS, OnnxModel, shown
from snnc.frontends.onnx.walk import CONVERTERS, SOFTMAX

AT_ONCE = 8
"""Samples that are computed at once: every intermediate result is kept meanwhile."""

RUN = CONVERTERS.keys() | SOFTMAX.keys() | SQUASHING.keys() | FOLDED


def as_function(model: OnnxModel) -> Reference:
    """The model as a function of a batch (N, *shape), channels first.

    Raises `ModelError` for operations that are not evaluated; so does the function, if the model
    does not take the batch, or gives something else than batches of floats.
    """
    other = sorted(
        {n.op_type for n in model.graph.node if n.domain not in DOMAINS or n.op_type not in RUN}
    )
    if other:
        raise ModelError(f"{model.name} cannot be evaluated: {shown(', '.join(other))}")
    order = input_order(model)
    samples = model.sizes[0] or AT_ONCE
    evaluator = _guarded(model.name, lambda: ReferenceEvaluator(model.proto, new_ops=OPERATORS))

    def run(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        batch = as_model_takes(np.asarray(x, np.float32), order)
        parts = [
            _outputs(model, evaluator, batch[start : start + samples])
            for start in range(0, len(batch), samples)
        ]
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))

    return run


def _outputs(
    model: OnnxModel, evaluator: ReferenceEvaluator, x: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The outputs of up to as many samples as the model takes."""
    count, missing = len(x), (model.sizes[0] or len(x)) - len(x)
    if missing:
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), np.float32)])
    with np.errstate(all="ignore"):
        found = _guarded(model.name, lambda: evaluator.run(None, {model.input: x}))
    return [output[:count] for output in _checked(model, found, len(x))]


def _checked(model: OnnxModel, outputs: Sequence[Any], samples: int) -> list[NDArray[np.float32]]:
    for name, output in zip(model.outputs, outputs, strict=True):
        if not isinstance(output, np.ndarray) or output.dtype.kind != "f":
            raise ModelError(
                f"{model.name} gives {shown(name)}, which is not of floating point",
                hint="return the logits, not classes",
            )
        if output.ndim == 0 or len(output) != samples:
            raise ModelError(
                f"{model.name} gives {shown(name)} of shape {output.shape} for {samples} samples",
                hint="keep the batch as the first axis",
            )
    return [output.astype(np.float32) for output in outputs]


def _guarded(name: str, compute: Any) -> Any:
    try:
        return compute()
    except Exception as error:  # the operations of onnx raise whatever numpy does
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot be evaluated: {shown(first, 200)}") from None
