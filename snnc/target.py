"""What a backend is, what it lowers to, and what a run gives back. numpy only."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtifactError, DataError, Loc, UsageError

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext

Record = Literal["none", "counts", "spikes"]
RECORDS = ("none", "counts", "spikes")
FIGURES = "figures.json"
"""Name, in the backend's own folder, of the member that holds its static figures; see `Backend`."""


@dataclass(frozen=True)
class Diagnostic:
    """One reason why a model cannot be compiled.

    Attributes:
        op: what is not supported.
        node: the node's name.
        loc: the user's line and module.
        reason: why.
        remedy: what to do.
    """

    op: str
    node: str
    loc: Loc
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.loc}: {self.node} ({self.op}): {self.reason}; {self.remedy}"


@dataclass(frozen=True)
class RunResult:
    """What one run gave.

    Attributes:
        output: (N, …) float32, the first output of the graph.
        readout: (N, …) int64 for a quantised graph, else None.
        counts: per spiking or counting node of the stored snn graph, (N, …) uint32: the number of
            spikes (of either sign) over the window; for a COUNT node the sum of |count|.
        spikes: the same nodes, (T, N, …): bool, or int8 where spikes are signed; COUNT nodes int32.
        stats: the backend's own figures, JSON-able. `stats["activity"]`, if the target counts
            what it does, is {node: {what: number}}, whole numbers summed over the batch.
        timesteps: the window that was run.
    """

    output: NDArray[np.float32]
    readout: NDArray[np.int64] | None = None
    counts: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict[str, Any])
    spikes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict[str, Any])
    stats: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timesteps: int = 0


class Program(Protocol):
    """A loaded artifact, ready to run."""

    timesteps: int

    def run(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        record: Record = "none",
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: tuple[int, ...] = (),
    ) -> RunResult:
        """Run a batch.

        Args:
            x: (N, *input shape) float32, as the model takes it (before any encoding).
            timesteps: the window; None for the artifact's own.
            record: "counts" adds `counts`, "spikes" adds both.
            sample_ids: (N,) identities for spiking encoders; default 0..N-1.
            seed: seed of spiking encoders.
            prefixes: window lengths <= timesteps; `stats["prefixes"][t]` is then the float32
                output after t steps, of the same run.

        Raises:
            DataError: the input does not fit.
        """
        ...


class Artifact(Protocol):
    """What `Backend.load` reads from: the members of a `.snnc` file."""

    @property
    def manifest(self) -> Mapping[str, Any]: ...

    def read(self, name: str) -> bytes:
        """Content of a member. Raises `ArtifactError` if it is missing or damaged."""
        ...

    def graph(self) -> Graph:
        """The stored `snn` graph (imports networkx)."""
        ...


class Backend(Protocol):
    """A target; a frozen dataclass whose fields are its options.

    What it runs computes what the stored graph computes: `legalize` names passes that preserve the
    function, and nothing else is taken. A target that runs integers only is a `NeedsIntegers`.

    Every spike, count and readout integer of a quantised graph is that of `reference`, unless the
    backend says that it is `Inexact`.

    A target with figures of its own (tiles, memories, …) lowers to a member `<name>/figures.json`:

        {"totals": {key: number}, "layers": {node: {key: number or text}},
         "tiles": [{"tile": int, "layer": node, "rows": int, "cols": int, "first_row": int,
                    "first_col": int, …}],
         "tile_shape": [rows, cols], "notes": ["not modelled yet: …"]}

    `compile` and `inspect` show totals and notes; the report carries it all as `hardware`.
    """

    name: ClassVar[str]

    def check(self, graph: Graph) -> list[Diagnostic]:
        """Every problem of this graph with this target, at once."""
        ...

    def legalize(self, graph: Graph) -> str:
        """Pipeline text run on a copy of the stored `graph` before lowering; "" for none.

        Every pass of it must declare `preserves_function`.
        """
        ...

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """Files for the artifact, by member name (prefixed with the backend's own folder)."""
        ...

    def load(self, artifact: Artifact) -> Program:
        """A program from an artifact this backend wrote."""
        ...


@runtime_checkable
class Inexact(Protocol):
    """A backend that, with some options at least, does not promise the spikes of `reference`."""

    @property
    def inexact(self) -> str:
        """Why spikes may differ, e.g. "the cells of pcm are not ideal"; "" where they may not."""
        ...


def why_inexact(backend: Backend) -> str:
    """Why a backend does not promise the spikes of `reference`; "" where it does.

    A backend without `Inexact.inexact` promises them.
    """
    return backend.inexact if isinstance(backend, Inexact) else ""


@runtime_checkable
class NeedsIntegers(Protocol):
    """A backend that runs graphs of integers only."""

    @property
    def quantizer(self) -> str:
        """The passes that make integers of real values, e.g. `quantize{bits=8}`.

        `compile` ends the pipeline with them where its result would be of real values; the stored
        graph, of which the target promises every spike, is then the one of integers.
        """
        ...


def quantizer_of(backend: Backend) -> str:
    """The passes that make the integers a backend needs; "" where it runs real values as well."""
    return backend.quantizer if isinstance(backend, NeedsIntegers) else ""


def figures_of(
    names: Collection[str], read: Callable[[str], bytes], target: str
) -> dict[str, Any] | None:
    """The static figures a target wrote, or None if it wrote none.

    Args:
        names: the members of an artifact.
        read: gives the content of a member.
        target: the target's name, or its text with options.

    Raises:
        ArtifactError: they cannot be read.
    """
    member = f"{target.partition('{')[0]}/{FIGURES}"
    if member not in names:
        return None
    try:
        figures = json.loads(read(member))
    except ValueError as error:
        raise ArtifactError(f"{member} is not readable JSON: {error}") from None
    keys = {"totals": dict, "layers": dict, "tiles": list, "tile_shape": list, "notes": list}
    if not isinstance(figures, dict):
        raise ArtifactError(f"{member} is not a JSON object")
    known = cast(dict[str, Any], figures)
    for key, kind in keys.items():
        if not isinstance(known.get(key), kind):
            raise ArtifactError(f"{member} has no usable {key!r}")
    return known


def checked_window(timesteps: int | None, stored: int, record: str, prefixes: Sequence[int]) -> int:
    """The window to run: `timesteps`, or the one that is `stored` in the artifact.

    Raises:
        DataError: a window or a prefix that is no whole number from 1 on, a prefix beyond it.
        UsageError: `record` is no kind of record.
    """
    if record not in RECORDS:
        raise UsageError(f"record={record!r} is none of {', '.join(RECORDS)}")
    steps = stored if timesteps is None else timesteps
    numbers: list[tuple[str, object]] = [("a window", steps), *(("a prefix", t) for t in prefixes)]
    for what, number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise DataError(f"{what} of {number!r} steps; it is a whole number")
    if steps < 1:
        raise DataError(f"a window of {steps} steps; it needs at least one")
    wrong = [t for t in prefixes if not 1 <= t <= steps]
    if wrong:
        raise DataError(f"prefix of {wrong[0]} steps outside a window of {steps}")
    return int(steps)


def checked_input(
    x: NDArray[Any], shape: tuple[int, ...], sample_ids: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The batch as float32 and the identities of its samples.

    Raises:
        DataError: no numbers, a wrong shape, no sample, NaN, or another number of identities.
    """
    batch = _numbers(x, np.float32, "the input")
    if batch.ndim == 0 or batch.shape[1:] != shape:
        takes = ", ".join(["N", *map(str, shape)])
        raise DataError(f"input has shape {batch.shape}, the network takes ({takes})")
    if not len(batch):
        raise DataError("the input has no samples")
    bad = np.flatnonzero(np.isnan(batch.reshape(len(batch), -1)).any(1))
    if len(bad):
        raise DataError(f"sample {bad[0]} of the input holds NaN")
    ids = _numbers(range(len(batch)) if sample_ids is None else sample_ids, np.int64, "sample_ids")
    if ids.shape != (len(batch),):
        raise DataError(f"sample_ids has shape {ids.shape} for {len(batch)} samples")
    return batch, ids


def _numbers(values: Any, dtype: type[Any], what: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or (dtype is np.int64 and array.dtype.kind == "f"):
            raise ValueError(f"an array of {array.dtype}")
        return array.astype(dtype, copy=False)
    except (TypeError, ValueError) as error:
        kind = "whole numbers" if dtype is np.int64 else "numbers"
        raise DataError(f"{what} is not an array of {kind}: {error}") from None
