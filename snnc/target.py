"""Protocols of backends, artifacts and programs, and the result of a run. numpy only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snnc.errors import ArtifactError, DataError, UsageError
from snnc.errors import Diagnostic as Diagnostic
from snnc.jsontext import parse_json
from snnc.memory import LONGEST_WINDOW

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext

Record = Literal["none", "counts", "spikes"]
RECORDS = ("none", "counts", "spikes")
FIGURES = "figures.json"
"""Name, in the backend's folder, of the member that holds its static figures; see `Backend`."""


@dataclass(frozen=True)
class RunResult:
    """The result of one run.

    Attributes:
        output: (N, …) float32, the first output of the graph.
        readout: (N, …) int64 for a quantised graph, else None.
        counts: per spiking or counting node of the stored snn graph, (N, …) uint32: the number of
            spikes (of either sign) over the window; for a COUNT node the sum of |count|.
        spikes: the same nodes, (T, N, …): bool, or int8 where spikes are signed; COUNT nodes int32.
        stats: figures of the backend, JSON-able. `stats["activity"]`, if the target counts its
            operations, is {node: {name of the counter: integer}}, summed over the batch.
        timesteps: the window T that was run.
    """

    output: NDArray[np.float32]
    readout: NDArray[np.int64] | None = None
    counts: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict[str, Any])
    spikes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict[str, Any])
    stats: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timesteps: int = 0


def joined(parts: Sequence[RunResult]) -> RunResult:
    """The results of consecutive samples as one, without `stats`."""
    first = parts[0]
    readouts = [part.readout for part in parts if part.readout is not None]
    return RunResult(
        output=np.concatenate([part.output for part in parts]),
        readout=np.concatenate(readouts) if readouts else None,
        counts={n: np.concatenate([part.counts[n] for part in parts]) for n in first.counts},
        spikes={n: np.concatenate([part.spikes[n] for part in parts], 1) for n in first.spikes},
        timesteps=first.timesteps,
    )


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
            x: (N, *input shape) float32, the model's input (before any encoding).
            timesteps: the window; None for the artifact's own.
            record: "counts" adds `counts`, "spikes" adds both.
            sample_ids: (N,) identities for spiking encoders; default 0..N-1.
            seed: seed of spiking encoders.
            prefixes: window lengths <= timesteps; `stats["prefixes"][t]` is then the float32
                output after t steps, of the same run.

        Raises:
            DataError: the input has a wrong shape, no samples or NaN.
        """
        ...


class Artifact(Protocol):
    """The members of a `.snnc` file, as `Backend.load` reads them."""

    @property
    def manifest(self) -> Mapping[str, Any]: ...

    def read(self, name: str) -> bytes:
        """Content of a member. Raises `ArtifactError` if it is missing or damaged."""
        ...

    def array(self, name: str) -> NDArray[np.uint8]:
        """Content of a member as bytes at a 64-byte aligned address. Raises as `read` does."""
        ...

    def digest(self, name: str) -> bytes:
        """SHA-256 of a member. Raises `ArtifactError` if it is missing."""
        ...

    def graph(self) -> Graph:
        """The stored `snn` graph."""
        ...


class Backend(Protocol):
    """A target; a frozen dataclass whose fields are its options.

    It computes the function of the stored graph: `legalize` may only name passes that preserve the
    function. A target that runs only integers is a `NeedsIntegers`.

    Every spike, count and readout integer of a quantised graph equals that of `reference`, unless
    the backend is `Inexact`.

    A target that reports static figures (tiles, memories, …) writes a member `<name>/figures.json`:

        {"totals": {key: number}, "layers": {node: {key: number or text}},
         "tiles": [{"tile": int, "layer": node, "rows": int, "cols": int, "first_row": int,
                    "first_col": int, …}],
         "tile_shape": [rows, cols], "notes": ["not modelled yet: …"]}

    `compile` and `inspect` show totals and notes; the report contains all of it as `hardware`.
    """

    name: ClassVar[str]

    def check(self, graph: Graph) -> list[Diagnostic]:
        """Every reason why the target cannot run this graph."""
        ...

    def legalize(self, graph: Graph) -> str:
        """Pipeline text run on a copy of the stored `graph` before lowering; "" for none.

        Every pass of it must declare `preserves_function`.
        """
        ...

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """Files for the artifact, by member name (prefixed with the backend's folder)."""
        ...

    def load(self, artifact: Artifact) -> Program:
        """The program in an artifact that this backend wrote."""
        ...


@runtime_checkable
class StoredApart(Protocol):
    """A backend whose programs lie in files of their own, which may be of another network."""

    def require_match(self, program: Any, artifact: Artifact) -> None:
        """Raise `ArtifactError` where `program` takes, records or gives other than the graph."""
        ...


@runtime_checkable
class LateOptions(Protocol):
    """A backend with options that do not show in its artifacts: any is run with other values."""

    @property
    def late_options(self) -> tuple[str, ...]:
        """The names of their fields."""
        ...


@runtime_checkable
class Inexact(Protocol):
    """A backend that, with some of its options, does not reproduce the spikes of `reference`."""

    @property
    def inexact(self) -> str:
        """Why spikes may differ, e.g. "the cells of pcm are not ideal"; "" if they never do."""
        ...


def why_inexact(backend: Backend) -> str:
    """Why a backend does not reproduce the spikes of `reference`; "" if it does.

    A backend without `Inexact.inexact` reproduces them.
    """
    return backend.inexact if isinstance(backend, Inexact) else ""


@runtime_checkable
class NamesFiles(Protocol):
    """A backend whose options name files, which are read when it compiles, and only then."""

    def require_files(self) -> None:
        """Raise `UsageError` for a file that cannot be used, before minutes of work."""
        ...


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


@runtime_checkable
class Threaded(Protocol):
    """A backend with an option `threads`, a dataclass field that `--threads N` sets."""

    @property
    def threads(self) -> int:
        """How many threads run a program; 0 where neither the target's text nor N says."""
        ...


@runtime_checkable
class ShowsPlan(Protocol):
    """A backend whose programs are made of steps, or layers, that `inspect --plan` shows."""

    def plan_rows(self, artifact: Artifact) -> list[dict[str, Any]]:
        """A row of names and values for each step or layer, all rows with the same names.

        Raises `ArtifactError`.
        """
        ...


def figures_of(
    names: Collection[str], read: Callable[[str], bytes], target: str
) -> dict[str, Any] | None:
    """The static figures that a target wrote, or None if it wrote none.

    Args:
        names: the members of an artifact.
        read: returns the content of a member.
        target: the target's name, or its text with options.

    Raises:
        ArtifactError: the member is not JSON, or lacks a key.
    """
    checked = json_member(FIGURES, names, read, target)
    if checked is None:
        return None
    keys = {"totals": dict, "layers": dict, "tiles": list, "tile_shape": list, "notes": list}
    for key, kind in keys.items():
        if not isinstance(checked.get(key), kind):
            raise ArtifactError(f"{_member(FIGURES, target)} has no usable {key!r}")
    return checked


def _member(name: str, target: str) -> str:
    return f"{target.partition('{')[0]}/{name}"


def json_member(
    name: str, names: Collection[str], read: Callable[[str], bytes], target: str
) -> dict[str, Any] | None:
    """A JSON object in the folder of a target, or None if there is none of that name.

    The other arguments, and what is raised, are those of `figures_of`.
    """
    member = _member(name, target)
    return parse_json(read(member), member) if member in names else None


def stored_window(graph: Graph) -> int:
    """The number of time steps a stored graph was compiled for. Raises `ArtifactError`."""
    timesteps = graph.meta.get("timesteps")
    if type(timesteps) is not int or not 1 <= timesteps <= LONGEST_WINDOW:
        raise ArtifactError(f"the stored graph's number of time steps is {timesteps!r}")
    return timesteps


def checked_window(timesteps: int | None, stored: int, record: str, prefixes: Sequence[int]) -> int:
    """The window to run: `timesteps`, or the window `stored` in the artifact if it is None.

    Raises:
        DataError: the window or a prefix is not a positive integer, or a prefix exceeds the window.
        UsageError: `record` is not one of `RECORDS`.
    """
    if record not in RECORDS:
        raise UsageError(f"record must be one of {', '.join(RECORDS)}, not {record!r}")
    steps = stored if timesteps is None else timesteps
    numbers: list[tuple[str, object]] = [("a window", steps), *(("a prefix", t) for t in prefixes)]
    for what, number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise DataError(f"{what} of {number!r} steps; it is a whole number")
    if steps < 1:
        raise DataError(f"a window of {steps} steps; it needs at least one")
    if steps > LONGEST_WINDOW:
        raise DataError(f"a window of {steps} steps; the longest has {LONGEST_WINDOW}")
    wrong = [t for t in prefixes if not 1 <= t <= steps]
    if wrong:
        raise DataError(f"prefix of {wrong[0]} steps outside a window of {steps}")
    return int(steps)


def checked_input(
    x: NDArray[Any], shape: tuple[int, ...], sample_ids: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The batch as float32 (N, *shape) and the identities of its samples, (N,) int64.

    Raises:
        DataError: not numeric, a wrong shape, no samples, NaN, or not N identities.
    """
    batch = _numbers(x, np.float32, "the input")
    if batch.ndim == 0 or batch.shape[1:] != shape:
        takes = ", ".join(["N", *map(str, shape)])
        raise DataError(
            f"the input has shape {batch.shape}, the network takes ({takes})",
            hint="a batch of one sample is x[None]" if batch.shape == shape else None,
        )
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
    kind = "whole numbers" if dtype is np.int64 else "numbers"
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise DataError(f"{what} is not an array: its parts differ in shape") from None
    if array.dtype.kind not in "biuf" or (dtype is np.int64 and array.dtype.kind == "f"):
        raise DataError(f"{what} is not an array of {kind}, but of {array.dtype}")
    return array.astype(dtype, copy=False)
