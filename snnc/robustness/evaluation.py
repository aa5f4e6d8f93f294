"""Attack a network on data, method by method, and judge it as it runs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import DataError, UsageError
from snnc.robustness.attack import Budget, Labels
from snnc.robustness.methods import METHODS, Method
from snnc.robustness.network import DifferentiableNetwork, Images, Target, gradient
from snnc.robustness.report import TRANSFER, AttackResult, RobustnessReport
from snnc.training.surrogate import AnySurrogate
from snnc.transform import Progress, silent

Batches = Sequence[tuple[Images, Labels]]
RANDOM_DRAWS = 10
"""Draws of a random encoder for one gradient."""


@dataclass(frozen=True)
class Made:
    """Inputs that an attack made for a batch.

    Attributes:
        x: (n, *shape).
        silent: (n,) whether the gradient at the clean input is zero; None without gradients.
        queries: calls of the network.
    """

    x: Images
    silent: NDArray[np.bool_] | None
    queries: int


class Store(Protocol):
    """Keeps what attacks made, so that a run can go on."""

    def get(self, name: str, first: int) -> Made | None:
        """What attack `name` made for the batch that begins at sample `first`."""
        ...

    def put(self, name: str, first: int, made: Made) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a network is attacked.

    Attributes:
        methods: names of `METHODS`.
        budget: of every attack.
        surrogate: derivative of a spike, where the method has none of its own.
        draws: draws of a random encoder per gradient.
        seeds: evaluations of every input where answers are random.
        source: a network on which the inputs are made instead, for attacks by transfer.
    """

    methods: Sequence[str]
    budget: Budget
    surrogate: AnySurrogate
    draws: int = RANDOM_DRAWS
    seeds: int = 3
    source: Target | None = None

    def plan(self) -> dict[str, tuple[Method, bool]]:
        """(method, whether it is run on the source) by name."""
        chosen: dict[str, tuple[Method, bool]] = {}
        for name in self.methods:
            if name != TRANSFER:
                chosen[name] = METHODS[name], False
        if TRANSFER in self.methods:
            for name in ("pgd", "adaptive"):
                chosen[f"{TRANSFER}-{name}"] = METHODS[name], True
        return chosen


def evaluate(
    target: Target,
    data: Iterable[tuple[Images, Labels]],
    how: Evaluation,
    *,
    store: Store | None = None,
    progress: Progress = silent,
    total: int | None = None,
) -> RobustnessReport:
    """Attack `target` on all of `data`.

    Every input that an attack made is judged by `target.classify`, with other seeds.

    Args:
        data: batches of (x, y); y (N,) are class numbers.
        total: number of samples, for the progress.

    Raises:
        DataError: no samples, or inputs outside the bounds.
    """
    batches = _within_bounds(data, how.budget)
    seeds = range(how.seeds if target.random else 1)
    clean = _judged(target, [x for x, _ in batches], batches, seeds)
    attacks: dict[str, AttackResult] = {}
    queries: dict[str, int] = {}
    for name, (method, transferred) in how.plan().items():
        attacked = how.source if transferred else target
        assert attacked is not None
        made: list[Made] = []
        with progress(name, total) as advance:
            for first, x, y in _numbered(batches):
                found = None if store is None else store.get(name, first)
                made.append(found or _made(attacked, method, how, x, y, first))
                if store is not None and found is None:
                    store.put(name, first, made[-1])
                advance(len(x))
        correct = _judged(target, [each.x for each in made], batches, seeds)
        attacks[name] = AttackResult(correct, _part(made))
        queries[name] = sum(each.queries for each in made)
    return RobustnessReport(clean, attacks, how.budget.eps, queries)


def _numbered(batches: Batches) -> Iterator[tuple[int, Images, Labels]]:
    """The batches with the number of their first sample."""
    first = 0
    for x, y in batches:
        yield first, x, y
        first += len(x)


def _within_bounds(data: Iterable[tuple[Images, Labels]], budget: Budget) -> Batches:
    batches = [(x, np.asarray(y, np.int64)) for x, y in data]
    if not batches:
        raise DataError("the data has no samples")
    low, high = budget.bounds
    for x, _ in batches:
        if x.min() < low or x.max() > high:
            raise DataError(
                f"inputs from {x.min():g} to {x.max():g} lie outside {low:g} to {high:g}",
                hint="--bounds LOW,HIGH; eps is in the units of the inputs",
            )
    return batches


def _made(
    target: Target, method: Method, how: Evaluation, x: Images, y: Labels, first: int
) -> Made:
    budget = replace(
        how.budget,
        steps=max(1, round(how.budget.steps * method.steps)),
        seed=zlib.crc32(f"{how.budget.seed} {first}".encode()),
    )
    network = DifferentiableNetwork(
        target.graph,
        target.timesteps,
        method.surrogate(how.surrogate),
        draws=how.draws,
        seed=budget.seed,
    )
    if method.knowledge != "white box":
        return Made(method.run(network, x, y, budget), None, network.queries)
    slope, _, _ = gradient(network, torch.from_numpy(x), torch.from_numpy(y))
    zero = ~slope.flatten(1).any(1).numpy()
    return Made(method.run(network, x, y, budget), zero, network.queries)


def _part(made: Sequence[Made]) -> float | None:
    silent_ones = [each.silent for each in made if each.silent is not None]
    return float(np.concatenate(silent_ones).mean()) if silent_ones else None


def _judged(
    target: Target,
    inputs: Sequence[Images],
    batches: Batches,
    seeds: Iterable[int],
) -> NDArray[np.bool_]:
    """(seeds, N) whether the answer is right."""
    rows: list[NDArray[np.bool_]] = []
    for seed in seeds:
        answers = [
            target.classify(moved, np.arange(first, first + len(y)), seed) == y
            for moved, (first, _, y) in zip(inputs, _numbered(batches), strict=True)
        ]
        rows.append(np.concatenate(answers))
    return np.stack(rows)


def chosen(methods: Sequence[str], has_source: bool) -> tuple[str, ...]:
    """`methods` without repetitions; `all` stands for every one, transfer where there is a source.

    Raises `UsageError` for an unknown name, for transfer without a source, and for a source without
    transfer.
    """
    if "all" in methods:
        return (*METHODS, *((TRANSFER,) if has_source else ()))
    for name in methods:
        if name not in (*METHODS, TRANSFER):
            named = (name for name, method in METHODS.items() if not method.check)
            raise UsageError(
                f"unknown method {name!r}", hint=f"one of: {', '.join((*named, TRANSFER, 'all'))}"
            )
    if TRANSFER in methods and not has_source:
        raise UsageError("transfer needs another network", hint="--source ART|MODEL")
    if has_source and TRANSFER not in methods:
        raise UsageError(
            "--source: without the method transfer nothing is made on another network",
            hint=f"--method {','.join((*methods, TRANSFER))}",
        )
    return tuple(dict.fromkeys(methods))
