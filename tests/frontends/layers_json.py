"""A frontend in one file, without torch: JSON with a list of linear layers, some with a ReLU.

{"layers": [{"name": "hidden", "weight": [[1, 2]], "bias": [0.5], "activation": "relu"}]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from snnc.errors import Loc
from snnc.frontends import Reference, importing
from snnc.frontends.importing import Constant, Importer, ImportSite, RefusedError, Value
from snnc.ir import Graph


def _convert(site: ImportSite, x: Value, layer: dict[str, Any]) -> Value:
    weight, bias = (np.asarray(layer[key], np.float32) for key in ("weight", "bias"))
    x = importing.linear(site, x, Constant(weight), Constant(bias))
    if layer["activation"] not in ("relu", "none"):
        raise RefusedError("snnc does not know this activation", "use relu")
    return importing.relu(site, x) if layer["activation"] == "relu" else x


class LayersJson:
    """A list of linear layers as JSON."""

    name: ClassVar[str] = "layers-json"

    def matches(self, reference: str) -> bool:
        path = Path(reference)
        return path.is_file() and path.read_bytes()[:10] == b'{"layers":'

    def load(
        self,
        reference: str,
        *,
        weights: Path | None,
        input_shape: tuple[int, ...] | None,
        allow: Sequence[str],
    ) -> Graph:
        from snnc.frontends.check import check_same

        layers = json.loads(Path(reference).read_text())["layers"]
        importer = Importer(reference)
        x = importer.input((len(layers[0]["weight"][0]),))
        for number, layer in enumerate(layers):
            name = layer["name"]
            site = importer.site(name, layer["activation"], loc=Loc(reference, number, name))
            made = importer.attempt(site, _convert, x, layer)
            x = made or importer.stand_in(site, (len(layer["bias"]),))
        imported = importer.finish([x])
        check_same(imported, self.reference(reference, weights=weights, allow=allow))
        return imported.graph

    def reference(self, reference: str, *, weights: Path | None, allow: Sequence[str]) -> Reference:
        layers = json.loads(Path(reference).read_text())["layers"]

        def run(x: np.ndarray) -> tuple[np.ndarray, ...]:
            for layer in layers:
                x = x @ np.asarray(layer["weight"], np.float32).T + np.float32(layer["bias"])
                x = np.maximum(x, 0) if layer["activation"] == "relu" else x
            return (x,)

        return run
