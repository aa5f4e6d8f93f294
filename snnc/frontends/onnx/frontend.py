"""The frontend for ONNX files."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from snnc.errors import ModelError, UsageError
from snnc.frontends.base import Reference
from snnc.frontends.loading import check_shape, is_onnx_model

if TYPE_CHECKING:
    from snnc.frontends.onnx.reading import OnnxModel
    from snnc.ir import Graph


class OnnxFrontend:
    """An ONNX file, of opset 11 to 21, with its weights: `model.onnx`.

    The file is read as data; arrays in other files are read from its folder only. A model of
    channels last (Keras, TensorFlow) becomes a network of channels first, and its transposes go.
    A quantised model (QDQ) is read as the floats it stands for. `--input-shape` gives the shape of
    one sample, channels first, and is needed where the model leaves sizes open.
    Needs `pip install 'snnc[onnx]'`.
    """

    name: ClassVar[str] = "onnx"

    def matches(self, reference: str) -> bool:
        """True for a file that begins as an ONNX model does."""
        return is_onnx_model(reference)

    def load(
        self,
        reference: str,
        *,
        weights: Path | None = None,
        input_shape: tuple[int, ...] | None = None,
        allow: Sequence[str] = (),
    ) -> Graph:
        """The graph of the model. Raises `UsageError`, `ModelError`, `UnsupportedError`."""
        check_shape(input_shape)
        model = _read(reference, weights)
        from snnc.frontends.check import check_same
        from snnc.frontends.onnx.evaluation import as_function
        from snnc.frontends.onnx.layout import input_layout
        from snnc.frontends.onnx.quantization import in_floats
        from snnc.frontends.onnx.walk import import_model

        model = in_floats(model)
        imported = import_model(model, input_layout(model, input_shape))
        check_same(imported, as_function(model))
        return imported.graph

    def reference(
        self, reference: str, *, weights: Path | None = None, allow: Sequence[str] = ()
    ) -> Reference:
        """The model, as stored, as a function of a batch. Raises `UsageError`, `ModelError`."""
        model = _read(reference, weights)
        from snnc.frontends.onnx.evaluation import as_function

        return as_function(model)


def _read(reference: str, weights: Path | None) -> OnnxModel:
    if weights is not None:
        raise UsageError(f"{reference} holds its weights", hint="leave --weights out")
    if importlib.util.find_spec("onnx") is None:
        raise ModelError(
            f"{reference} is an ONNX model, and the package onnx is not installed",
            hint="pip install 'snnc[onnx]'",
        )
    from snnc.frontends.onnx.reading import read

    return read(reference)
