"""Inputs stored in an artifact, with what the reference gave for them when it was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.artifact.layout import SAMPLES
from snnc.errors import ArtifactError

if TYPE_CHECKING:
    from snnc.ir import Graph

_X, _READOUT, _SEED, _COUNTS = "x", "readout", "seed", "counts/"
"""Names of the tensors; `_COUNTS` is followed by the name of a node."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs, and what the stored graph gives for them over the artifact's own window.

    Attributes:
        x: (N, *input shape) float32; the identities of the samples are 0..N-1.
        counts: per spiking or counting node, (N, …) uint32: as in `snnc.target.RunResult`.
        readout: (N, …) int64 for a quantised graph, else None.
        seed: of spiking encoders, from 0 to 2^64 - 1.
    """

    x: NDArray[np.float32]
    counts: Mapping[str, NDArray[np.uint32]]
    readout: NDArray[np.int64] | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.x)

    def to_bytes(self) -> bytes:
        """The member of the artifact, in the safetensors format."""
        import safetensors.numpy

        tensors: dict[str, NDArray[Any]] = {_X: self.x, _SEED: np.array(self.seed, np.uint64)}
        tensors |= {_COUNTS + name: counts for name, counts in self.counts.items()}
        if self.readout is not None:
            tensors[_READOUT] = self.readout
        return safetensors.numpy.save({k: np.asarray(v, order="C") for k, v in tensors.items()})


def read_samples(tensors: Mapping[str, NDArray[Any]], graph: Graph) -> Samples:
    """The samples in the tensors of the member, checked against the graph of the artifact.

    Raises `ArtifactError` for missing or unknown tensors, another type or shape, NaN, or infinity.
    """
    output = graph.type_of(graph.outputs[0])
    known = [name.removeprefix(_COUNTS) for name in tensors if name.startswith(_COUNTS)]
    unknown = sorted(set(tensors) - {_X, _READOUT, _SEED, *(_COUNTS + name for name in known)})
    if unknown:
        raise ArtifactError(f"{SAMPLES} holds the unknown tensor {unknown[0]!r}")
    x = _tensor(tensors, _X, np.float32, None, graph.type_of(graph.input).shape)
    if not len(x) or not np.isfinite(x).all():
        raise ArtifactError(f"{SAMPLES}: {_X} holds no samples, NaN or infinity")
    for name in known:
        if name not in graph:
            raise ArtifactError(f"{SAMPLES}: the graph has no node {name!r}")
    counts = {
        name: _tensor(tensors, _COUNTS + name, np.uint32, len(x), graph.type_of(name).shape)
        for name in known
    }
    readout = None
    if output.quantized:
        readout = _tensor(tensors, _READOUT, np.int64, len(x), output.shape)
    seed = tensors.get(_SEED)
    if seed is None or seed.dtype != np.uint64 or seed.shape != ():
        raise ArtifactError(f"{SAMPLES} has no usable {_SEED!r}")
    return Samples(x=x, counts=counts, readout=readout, seed=int(seed))


def _tensor(
    tensors: Mapping[str, NDArray[Any]],
    name: str,
    dtype: type[np.generic],
    count: int | None,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """The tensor (N, *shape) of this name, with N = `count` if that is given."""
    found = tensors.get(name)
    fits = found is not None and found.dtype == dtype and found.ndim > 0
    if found is None or not fits or found.shape != (count or len(found), *shape):
        raise ArtifactError(f"{SAMPLES} has no usable {name!r}")
    return found
