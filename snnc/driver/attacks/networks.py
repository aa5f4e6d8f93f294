"""The networks and the data of an attack, opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np

from snnc.artifact import is_artifact, open_artifact
from snnc.data.labels import ClassNumbers
from snnc.driver.artifacts import as_compiled, limited
from snnc.driver.attacks.arguments import AttackArguments
from snnc.driver.attacks.files import AttackFiles
from snnc.driver.inputs import open_batches
from snnc.driver.models import ModelSource, load_model_for
from snnc.driver.own_places import require_own_folders
from snnc.driver.programs import open_program, require_one_output
from snnc.driver.running import window_to_run
from snnc.errors import DataError, UsageError
from snnc.ir import Graph, Stage
from snnc.jsontext import dump_json
from snnc.options import ModelOptions, flags
from snnc.pipeline import parse_one
from snnc.pipeline.names import Table
from snnc.robustness import Budget, Evaluation, RobustnessReport, Target, chosen, evaluate
from snnc.robustness.attack import Labels
from snnc.robustness.network import Images
from snnc.training.surrogate import SURROGATES, AnySurrogate
from snnc.transform import Batches, size_of


def run_attack(network: str, options: AttackArguments) -> RobustnessReport:
    """See `snnc.driver.attacks.attack.attack`."""
    source = None if options.source is None else str(options.source)
    methods = chosen(options.method, source is not None)
    _refuse_unread(network, source, options)
    budget, surrogate = _budget(options), read_surrogate(options.surrogate)
    store = _store(network, source, options)
    target = _target(network, options, None)
    how = Evaluation(
        methods=methods,
        budget=budget,
        surrogate=surrogate,
        draws=options.eot,
        seeds=options.seeds,
        source=None if source is None else _target(source, options, network),
    )
    batches = _batches(options, target.graph)
    shown = {"progress": options.progress, "total": size_of(batches)}
    report = evaluate(target, _labelled(batches), how, store=store, **shown)
    if store is not None:
        store.put_answers(report)
    return report


def _refuse_unread(network: str, source: str | None, options: AttackArguments) -> None:
    """Raise `UsageError` for options of a model where no model is read."""
    if not all(_is_compiled(name) for name in (network, source) if name is not None):
        return
    for name, (flag, default) in flags(ModelOptions).items():
        if getattr(options, name) != default:
            raise UsageError(
                f"{flag.names[0]}: {network} is compiled, and no model is read",
                hint=f"leave {flag.names[0]} out",
            )


def _is_compiled(name: str) -> bool:
    return is_artifact(name) and open_artifact(name).manifest["stage"] != Stage.ANN


def _budget(options: AttackArguments) -> Budget:
    for flag, number in (("--eot", options.eot), ("--seeds", options.seeds)):
        if number < 1:
            raise UsageError(f"{flag} {number}: at least one")
    return Budget(
        eps=options.eps,
        bounds=_bounds(options.bounds),
        steps=options.steps,
        restarts=options.restarts,
        seed=options.seed,
    )


def _batches(options: AttackArguments, graph: Graph) -> Batches:
    """The data, with labels as the network's class numbers. Raises `DataError`, `UsageError`."""
    opened = open_batches(
        options.data,
        "data",
        _shape(graph),
        batch_size=options.batch_size,
        class_numbers=ClassNumbers(graph.type_of(graph.outputs[0]).shape, judged=True),
        log=options.log,
    )
    return limited(opened, options.limit)


def _shape(graph: Graph) -> tuple[int, ...]:
    return graph.type_of(graph.input).shape


def _bounds(given: Any) -> tuple[float, float]:
    if len(given) != 2:
        raise UsageError("--bounds has two values", hint="--bounds 0,1")
    return float(given[0]), float(given[1])


def _labelled(batches: Batches) -> Iterator[tuple[Images, Labels]]:
    for x, y in batches:
        if y is None or y.ndim != 1 or y.dtype.kind == "f":
            raise DataError("an attack needs data with class numbers")
        yield x, y.astype(np.int64)


def _target(name: str, options: AttackArguments, beside: str | None) -> Target:
    """The network called `name`; `beside` is an artifact whose mean, std and shape a model has."""
    if not _is_compiled(name):
        return _ann(name, options, beside)
    artifact = open_artifact(name)
    graph, program = artifact.graph(), open_program(artifact, threads=options.threads)
    window = window_to_run(options.timesteps, program, graph, options.log)

    def classify(x: Images, ids: Any, seed: int) -> Any:
        return program.run(x, timesteps=window, sample_ids=ids, seed=seed).output.argmax(1)

    return Target(_with_classes(graph, name), window, classify)


def _ann(name: str, options: AttackArguments, beside: str | None) -> Target:
    from snnc.interp import run_ann

    given = {each.name: getattr(options, each.name) for each in fields(ModelOptions)}
    source = ModelSource(model=name, **given)
    if beside is not None and is_artifact(beside):
        artifact = open_artifact(beside)
        source = as_compiled(source, artifact, _shape(artifact.graph()))
    graph = load_model_for(source, {"data": options.data}, options.log)
    require_one_output(graph)
    if graph.stage is not Stage.ANN:
        raise UsageError(f"{name} spikes, but is not compiled", hint="compile it first")
    (output,) = graph.outputs

    def classify(x: Images, ids: Any, seed: int) -> Any:
        return run_ann(graph, x)[output].numpy().argmax(1)

    return Target(_with_classes(graph, name), 1, classify)


def _with_classes(graph: Graph, name: str) -> Graph:
    shape = graph.type_of(graph.outputs[0]).shape
    if len(shape) != 1 or shape[0] < 2:
        raise UsageError(f"{name} gives {shape} for a sample: an attack needs scores of classes")
    return graph


def read_surrogate(text: str) -> AnySurrogate:
    """A surrogate gradient with options, e.g. `triangle{width=2}`. Raises `SpecError`."""
    return cast(AnySurrogate, parse_one(text, Table("surrogate", SURROGATES)))


def _store(network: str, source: str | None, options: AttackArguments) -> AttackFiles | None:
    if options.resume and options.workdir is None:
        raise UsageError("--resume goes on from the files in a folder", hint="--workdir DIR")
    if options.workdir is None:
        return None
    read = {"ART|MODEL": network, "--source": source, "--weights": options.weights}
    require_own_folders(options, {**read, "--data": options.data})
    kept = ("eps", "bounds", "steps", "restarts", "eot", "surrogate", "seed", "batch_size")
    identity = {
        "network": _fingerprint(network),
        "source": None if source is None else _fingerprint(source),
        "data": str(options.data),
        "timesteps": options.timesteps,
        **{name: getattr(options, name) for name in kept},
    }
    return AttackFiles(Path(options.workdir), dump_json(identity, "the options"), options.resume)


def _fingerprint(name: str) -> str:
    if not is_artifact(name):
        return name
    return sha256(Path(name).read_bytes()).hexdigest()
