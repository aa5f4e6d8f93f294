"""From whatever names a model to a graph, and to the user's own module."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnc.artifact import is_artifact, open_artifact, write
from snnc.data.given import shape_of_samples
from snnc.errors import ModelError, UnknownShapeError, UsageError
from snnc.ir import Graph, Scale, Stage
from snnc.ir.integer_bounds import proved_window
from snnc.memory import LONGEST_WINDOW
from snnc.options import Data, ModelOptions
from snnc.output_place import require_own_file
from snnc.pipeline import parse_one
from snnc.plugins import FRONTENDS, Registry

if TYPE_CHECKING:
    from torch import nn

    from snnc.frontends import Frontend, Reference

LONG_WINDOW = 1024
"""Time steps; longer windows are questioned."""
NORMALIZE = "normalize"
"""Name of the node that `mean` and `std` become."""


@dataclass(frozen=True, kw_only=True)
class ModelSource(ModelOptions):
    """What names a model.

    Attributes:
        model: `net.py:factory`, a file, a graph or a torch module.

    The options are described in `snnc.options`.
    """

    model: str | Path | Graph | nn.Module

    def files(self) -> dict[str, object]:
        """What names files to read, by flag, for `snnc.driver.own_places`."""
        return {"MODEL": self.model, "--weights": self.weights}

    def __str__(self) -> str:
        return str(self.model) if isinstance(self.model, str | Path) else type(self.model).__name__


def load_model(source: ModelSource) -> Graph:
    """The graph of a model, with its input normalised. Raises `ModelError`, `UnsupportedError`."""
    graph = _graph(source)
    if not source.mean and not source.std:
        return graph
    if graph.stage is not Stage.ANN:
        raise UsageError("--mean and --std are for a model, not for a spiking graph")
    return normalize(graph, *source.normalization)


def load_model_for(
    source: ModelSource, data: Mapping[str, Data | None], log: logging.Logger | None
) -> Graph:
    """As `load_model`; a shape that the model leaves open is that of the samples of the data.

    Args:
        data: what the model is to take, by what it is for; the first whose shape shows tells.

    Raises:
        DataError: these cannot be read.
    """
    try:
        return load_model(source)
    except UnknownShapeError:
        for what, each in data.items():
            shape = None if each is None else shape_of_samples(each, what)
            if shape is not None:
                break
        else:
            raise
    if log is not None:
        shown = ",".join(map(str, shape))
        log.info("%s: input shape %s, that of the samples of --%s", source, shown, what)
    return load_model(replace(source, input_shape=shape))


def _graph(source: ModelSource) -> Graph:
    model, shape = source.model, source.input_shape
    saved = isinstance(model, str | Path) and is_artifact(model)
    if source.frontend is not None and (saved or not isinstance(model, str | Path)):
        raise UsageError(
            f"--frontend {source.frontend}: no frontend reads {source}", hint="leave --frontend out"
        )
    if source.weights is not None and (saved or not isinstance(model, str | Path)):
        raise UsageError(
            f"--weights {source.weights}: {source} holds its own", hint="leave --weights out"
        )
    if isinstance(model, Graph):
        return model.clone()
    if isinstance(model, str | Path):
        if saved:
            return open_artifact(model).graph()
        from snnc.frontends import load as load_frontend

        return load_frontend(
            str(model),
            weights=source.weights,
            input_shape=shape,
            allow=tuple(source.allow),
            frontend=frontend_of(source),
        )
    from torch import nn

    if not isinstance(model, nn.Module):
        raise ModelError(
            f"the model is {_kind(model)}, not a torch module",
            hint="give an nn.Module, a graph, a file or net.py:factory",
        )
    from snnc.frontends import trace

    return trace(model, shape)


def frontend_of(source: ModelSource) -> Frontend | None:
    """The frontend that the options name, with its own options. Raises `SpecError`."""
    return None if source.frontend is None else parse_one(source.frontend, Registry(FRONTENDS))


def _kind(model: object) -> str:
    """What was given in place of a model."""
    if isinstance(model, type):
        return f"the class {model.__name__}"
    return f"of type {type(model).__name__}"


def normalize(graph: Graph, mean: Sequence[float], std: Sequence[float]) -> Graph:
    """Put `(x - mean) / std` behind the input; `mean` 0 or `std` 1 where one is not given.

    Raises `UsageError` unless both fit the channels and `std` is positive.
    """
    channels = graph.type_of(graph.input).shape[:1]
    for flag, values in (("--mean", mean), ("--std", std)):
        if len(values) > 1 and (len(values),) != channels:
            count = channels[0] if channels else 0
            raise UsageError(
                f"{flag} has {len(values)} values for an input of {count} channels",
                hint="give one value, or one per channel",
            )
        if not np.all(np.isfinite(values)):
            raise UsageError(f"{flag} holds a value that is not finite")
    if any(value <= 0 for value in std):
        raise UsageError("--std holds a value that is not positive")
    if any(value < np.finfo(np.float32).tiny for value in std):
        raise UsageError("--std holds a value whose inverse is beyond float32")
    shift, factor = np.broadcast_arrays(
        np.asarray(mean or [0.0], np.float64), 1 / np.asarray(std or [1.0], np.float64)
    )
    squeezed = [factor, -shift * factor] if len(factor) > 1 else [factor[0], -shift[0] * factor[0]]
    result = graph.clone()
    name = result.fresh(NORMALIZE)
    refs = [
        result.set_param(f"{name}.{field}", np.asarray(values, np.float32))
        for field, values in zip(("factor", "bias"), squeezed, strict=True)
    ]
    result.insert_after(result.input, name, Scale(factor=refs[0], bias=refs[1]))
    return result


def eager(
    source: ModelSource, shape: tuple[int, ...] | None = None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The only output of the user's own network, of a batch (N, *shape) normalised as told.

    `shape` is that of one sample of the output, None for any. Raises `ModelError` for a graph; so
    does the function, for several outputs and for one of another shape.
    """
    run = _reference(source)
    mean, std = (np.asarray(v, np.float32) for v in (source.mean or [0.0], source.std or [1.0]))

    def only(x: NDArray[np.float32]) -> NDArray[np.float32]:
        axes = (-1,) + (1,) * (x.ndim - 2)
        output, *others = run((x - mean.reshape(axes)) / std.reshape(axes))
        if others:
            raise ModelError(
                f"{source} gives {1 + len(others)} outputs; one is compared",
                hint="return one of them, or torch.cat of them along dim=1",
            )
        if shape is not None and output.shape[1:] != shape:
            raise ModelError(
                f"{source} gives samples of shape {output.shape[1:]}, the network {shape}",
                hint="--compare takes the model that was compiled",
            )
        return output

    return only


def _reference(source: ModelSource) -> Reference:
    if isinstance(source.model, Graph) or (
        isinstance(source.model, str | Path) and is_artifact(source.model)
    ):
        raise ModelError(
            f"{source} holds a graph, not the user's own network",
            hint="give --compare net.py:factory --weights FILE",
        )
    if isinstance(source.model, str | Path):
        from snnc.frontends import reference

        return reference(
            str(source.model),
            weights=source.weights,
            allow=tuple(source.allow),
            frontend=frontend_of(source),
        )
    from snnc.frontends.inference import as_function

    return as_function(source.model, str(source))


def require_window(graph: Graph, timesteps: int) -> None:
    """Raise `UsageError` for a window in which integers of `quantize` are not proved to fit."""
    found = graph.meta.get("quantize")
    if found is None or timesteps <= (found.get("timesteps") or 0):
        return
    proved = proved_window(graph)
    if timesteps > proved:
        raise UsageError(
            f"-T {timesteps}: the integers of this network are proved not to overflow for "
            f"T <= {proved}",
            hint=f"-T {proved} or less; fewer bits leave room for more steps",
        )


def question_window(timesteps: int, log: logging.Logger | None) -> None:
    """Warn of a window that may take hours; raise `UsageError` for one that takes days."""
    if timesteps > LONGEST_WINDOW:
        raise UsageError(
            f"-T {timesteps}: a window has at most {LONGEST_WINDOW} time steps",
            hint="4 to 64 are usual",
        )
    if timesteps > LONG_WINDOW and log is not None:
        log.warning(
            "-T %d: every layer is computed at %d steps, which may take hours; 4 to 64 are usual",
            timesteps,
            timesteps,
        )


def own_window(model: str | Path | Graph | nn.Module) -> int | None:
    """The window of a graph or `.snnc` file that has one. Raises `ArtifactError`."""
    if isinstance(model, Graph):
        return model.meta.get("timesteps")
    if isinstance(model, str | Path) and is_artifact(model):
        return open_artifact(model).manifest["timesteps"]
    return None


def source_info(source: ModelSource) -> Mapping[str, Any]:
    """What a `.snnc` file as the model says of its own compilation; empty for other models."""
    if isinstance(source.model, str | Path) and is_artifact(source.model):
        return open_artifact(source.model).manifest["info"]
    return {}


def save(
    model: str | Path | Graph | nn.Module,
    example: Any,
    path: str | Path,
    *,
    weights: str | Path | None = None,
    allow: Sequence[str] = (),
) -> None:
    """Trace a model and save its graph as a `.snnc` file that `compile` takes anywhere.

    The file holds the graph and its numbers, no Python and no pickle: the model's class is not
    needed to read it.

    Args:
        model: a torch module, a graph, or what names a model.
        example: a batch (N, *shape), as array or tensor, or the shape of one sample; None to infer
            it. A graph knows its own.
        path: the file to write.
        weights, allow: see `ModelSource`.

    Raises:
        UsageError: `example` is neither a batch nor a shape, or is needed; `path` is a file of the
            model.
        ModelError, UnsupportedError: as for `compile`.
    """
    shape = None
    if example is not None:
        from snnc.frontends.tracing import sample_shape

        shape = sample_shape(example)
    source = ModelSource(model=model, weights=weights, input_shape=shape, allow=tuple(allow))
    require_own_file("path", path, source.files())
    write(path, load_model(source))
