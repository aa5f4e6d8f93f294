"""Attack an artifact or a model: open both networks and the data, and keep what was made."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np

from snnc.artifact import is_artifact, open_artifact
from snnc.attack_options import AttackOptions
from snnc.data.labels import ClassNumbers
from snnc.driver.artifacts import as_compiled, limited, open_program, window_to_run
from snnc.driver.inputs import open_batches
from snnc.driver.job import Reporting
from snnc.driver.keywords import keywords_of
from snnc.driver.models import ModelSource, load_model, require_one_output
from snnc.driver.threads import torch_threads
from snnc.errors import DataError, UsageError
from snnc.ir import Graph, Stage
from snnc.jsontext import dump_json
from snnc.new_file import new_file
from snnc.options import MEANING, Data, ModelOptions
from snnc.output_place import require_folder
from snnc.pipeline import parse_one
from snnc.pipeline.names import Names
from snnc.plugins import guess
from snnc.robustness import Budget, Evaluation, Made, RobustnessReport, Target, chosen, evaluate
from snnc.robustness.attack import Labels
from snnc.robustness.network import Images
from snnc.training.surrogate import SURROGATES, AnySurrogate
from snnc.transform import size_of


@dataclass(frozen=True, kw_only=True)
class AttackArguments(Reporting, AttackOptions):
    """The arguments of `attack` behind the network."""

    data: Data = field(kw_only=False, metadata={MEANING: "inputs with class numbers."})


@keywords_of(AttackArguments)
def attack(network: str | Path, options: AttackArguments) -> RobustnessReport:
    """Attack a network, and judge what the attacks made as the network runs.

    Args:
        network: a compiled `.snnc` file, or a model (`net.py:factory`, …), which is attacked as it
            is, an ANN.

    Raises:
        UsageError, DataError, ArtifactError, ModelError.
    """
    with torch_threads(options.threads):
        return _attack(str(network), options)


def _attack(network: str, options: AttackArguments) -> RobustnessReport:
    low, high = _bounds(options.bounds)
    budget = Budget(
        eps=options.eps,
        bounds=(low, high),
        steps=options.steps,
        restarts=options.restarts,
        seed=options.seed,
    )
    for flag, number in (("--eot", options.eot), ("--seeds", options.seeds)):
        if number < 1:
            raise UsageError(f"{flag} {number}: at least one")
    source = None if options.source is None else str(options.source)
    methods = chosen(options.method, source is not None)
    surrogate = read_surrogate(options.surrogate)
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
    batches = limited(
        open_batches(
            options.data,
            "data",
            _shape(target.graph),
            batch_size=options.batch_size,
            class_numbers=ClassNumbers(
                target.graph.type_of(target.graph.outputs[0]).shape, judged=True
            ),
            log=options.log,
        ),
        options.limit,
    )
    return evaluate(
        target,
        _labelled(batches),
        how,
        store=store,
        progress=options.progress,
        total=size_of(batches),
    )


def _shape(graph: Graph) -> tuple[int, ...]:
    return graph.type_of(graph.input).shape


def _bounds(given: Any) -> tuple[float, float]:
    if len(given) != 2:
        raise UsageError("--bounds has two values", hint="--bounds 0,1")
    return float(given[0]), float(given[1])


def _labelled(batches: Any) -> Iterator[tuple[Images, Labels]]:
    for x, y in batches:
        if y is None or y.ndim != 1 or y.dtype.kind == "f":
            raise DataError("an attack needs data with class numbers")
        yield x, y


def _target(name: str, options: AttackArguments, beside: str | None) -> Target:
    """The network called `name`; `beside` is an artifact whose mean, std and shape a model has."""
    if not is_artifact(name) or open_artifact(name).manifest["stage"] == Stage.ANN:
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
    graph = load_model(source)
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


class _Surrogates:
    """The surrogate gradients by name, for the grammar of options."""

    noun = "surrogate"

    def names(self) -> list[str]:
        return list(SURROGATES)

    def get(self, name: str) -> Any:
        """The class. Raises `UsageError` listing the valid names."""
        if name not in SURROGATES:
            hint = f"{guess(name, SURROGATES)}one of: {', '.join(SURROGATES)}"
            raise UsageError(f"unknown surrogate {name!r}", hint=hint)
        return SURROGATES[name]


def read_surrogate(text: str) -> AnySurrogate:
    """A surrogate gradient with options, e.g. `triangle{width=2}`. Raises `SpecError`."""
    return cast(AnySurrogate, parse_one(text, cast(Names, _Surrogates())))


def _store(network: str, source: str | None, options: AttackArguments) -> _Folder | None:
    if options.resume and options.workdir is None:
        raise UsageError("--resume goes on from the files in a folder", hint="--workdir DIR")
    if options.workdir is None:
        return None
    folder = Path(options.workdir)
    require_folder("--workdir", folder)
    kept = ("eps", "bounds", "steps", "restarts", "eot", "surrogate", "seed", "batch_size")
    identity = {
        "network": _fingerprint(network),
        "source": None if source is None else _fingerprint(source),
        "data": str(options.data),
        "timesteps": options.timesteps,
        **{name: getattr(options, name) for name in kept},
    }
    return _Folder(folder, dump_json(identity, "the options"), options.resume)


def _fingerprint(name: str) -> str:
    if not is_artifact(name):
        return name
    return sha256(Path(name).read_bytes()).hexdigest()


@dataclass(frozen=True)
class _Folder:
    """What attacks made, one file for every batch; a `snnc.robustness.Store`.

    Attributes:
        identity: of the run; files of another one are not used.
        resume: whether files are read.
    """

    folder: Path
    identity: bytes
    resume: bool

    def _path(self, name: str, first: int) -> Path:
        return self.folder / f"{name}-{first:06}.npz"

    def get(self, name: str, first: int) -> Made | None:
        """See `Store.get`. Raises `UsageError` for a file of another run, or a broken one."""
        path = self._path(name, first)
        if not self.resume or not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                identity, x, silent = held["identity"].tobytes(), held["x"], held["silent"]
                queries = int(held["queries"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"--resume: {path} cannot be read: {error}") from None
        if identity != self.identity:
            raise UsageError(
                f"--resume: {path} is of another attack",
                hint="leave out --resume, or give another --workdir",
            )
        return Made(np.asarray(x, np.float32), silent if silent.size else None, queries)

    def put(self, name: str, first: int, made: Made) -> None:
        """See `Store.put`. Raises `UsageError` if the file cannot be written."""
        path = self._path(name, first)
        silent = np.zeros(0, bool) if made.silent is None else made.silent
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with new_file(path) as new, new.open("wb") as file:
                np.savez(
                    file,
                    identity=np.frombuffer(self.identity, np.uint8),
                    x=made.x,
                    silent=silent,
                    queries=np.array(made.queries),
                )
        except OSError as error:
            raise UsageError(f"--workdir: cannot write {path}: {error.strerror or error}") from None
