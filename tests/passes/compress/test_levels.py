"""Few magnitudes: the nearest level, sets of levels, the integers that become of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from snnc.errors import PassError
from snnc.ir import Graph, Weighted
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, default_context, snn_cases
from snnc.training.levels import Levels
from snnc.transform import PassContext
from snnc_passes.compress._level_sets import level_set
from snnc_passes.compress.quantize_conductance import QuantizeConductance

RNG = np.random.default_rng(0)


def weights(graph: Graph) -> dict[str, np.ndarray]:
    return {n.name: graph.array(n.op.weight) for n in graph if isinstance(n.op, Weighted)}


def test_every_weight_has_the_nearest_level_and_zeros_stay() -> None:
    levels = Levels(torch.tensor([0.1, 0.4, 1.0]), torch.tensor([[2.0], [0.5]]))
    weight = torch.randn(2, 200)
    weight[:, ::5] = 0
    snapped = levels.snap(weight)
    for row, bound in ((0, 2.0), (1, 0.5)):
        sizes = levels.relative * bound
        for w, s in zip(weight[row].tolist(), snapped[row].tolist(), strict=True):
            near = min(sizes.tolist(), key=lambda level: abs(level - abs(w)))
            assert s == pytest.approx(np.sign(w) * near if w else 0.0)


def test_a_layer_without_weights_stays_empty() -> None:
    empty = Levels(torch.tensor([0.5, 1.0]), torch.zeros(2, 1))
    assert not empty.snap(torch.zeros(2, 3)).any()


def test_one_level_is_the_mean_and_even_levels_are_even() -> None:
    sizes = RNG.uniform(0.01, 1, 50)
    for spacing in ("uniform", "kmeans"):
        assert level_set(sizes, 1, spacing) == pytest.approx([sizes.mean()])
    assert level_set(sizes, 4, "uniform").tolist() == [0.25, 0.5, 0.75, 1.0]


def test_k_means_is_no_worse_than_any_split_of_well_parted_values() -> None:
    sizes = np.concatenate([RNG.normal(c, 0.01, 6) for c in (0.2, 0.55, 0.9)])

    def error(levels: Any) -> float:
        return float(np.square(sizes[:, None] - np.asarray(levels)).min(1).sum())

    ordered = np.sort(sizes)
    best = min(
        error([part.mean() for part in np.split(ordered, cut)])
        for cut in combinations(range(1, len(ordered)), 2)
    )
    assert error(level_set(sizes, 3, "kmeans")) == pytest.approx(best)


@pytest.mark.parametrize("levels", [1, 3, (0.2, 0.5, 1.0)])
@pytest.mark.parametrize("granularity", ["channel", "layer"])
def test_layers_have_so_many_levels(levels: Any, granularity: Any) -> None:
    graph = build("residual", Style.SNN)
    each = QuantizeConductance(levels=levels, granularity=granularity)
    result = each.run(graph.clone(), PassContext()).graph
    count = levels if isinstance(levels, int) else len(levels)
    for name, weight in weights(result).items():
        before = weights(graph)[name]
        assert np.array_equal(np.sign(before), np.sign(weight))
        rows = weight.reshape(len(weight), -1) if granularity == "channel" else [weight]
        assert all(len(np.unique(np.abs(row[row != 0]))) <= count for row in rows)


INTEGERS = ("plain", "residual", "grouped", "enlarged", "saturating")


@pytest.mark.parametrize("case", [c for c in snn_cases() if c.name in INTEGERS], ids=str)
def test_the_integers_of_quantize_are_the_levels(case: Any) -> None:
    """Also where layers are added, which share one scale."""
    levels = (0.1, 0.3, 1.0)
    text = f"fold-scale,quantize-conductance{{levels=[{' '.join(map(str, levels))}]}},quantize"
    graph = Pipeline.from_text(text).run(case.graph, default_context(case)).graph
    allowed = {round(127 * level) for level in levels} | {0}
    for weight in weights(graph).values():
        assert set(np.abs(weight).astype(int).ravel().tolist()) <= allowed


class Cells:
    """A target that tells of its cells."""

    limits: Any = {"levels_us": [10, 30, 50, 110]}  # noqa: RUF012

    def read_weights(self, weights: Any, rng: Any) -> Any:
        return weights


def test_levels_of_the_target() -> None:
    graph, each = build("plain", Style.SNN), QuantizeConductance(levels="target")
    result = each.run(graph.clone(), PassContext(target=Cells()))
    assert result.metrics["fc1.weight"]["levels"] == pytest.approx([0.2, 0.4, 1.0])
    assert each.requirements() == {"target"}
    with pytest.raises(PassError, match="tells of no cells"):
        each.run(graph.clone(), PassContext())


def test_more_levels_have_a_smaller_error() -> None:
    graph = build("plain", Style.SNN)
    errors = [
        QuantizeConductance(levels=k).run(graph.clone(), PassContext()).metrics["conv2.weight"]
        for k in (1, 2, 4, 16)
    ]
    found = [each["error"] for each in errors]
    assert found == sorted(found, reverse=True) and found[-1] < 0.05


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"levels": 0}, "levels=0 is not in 1..127"),
        ({"levels": 200}, "levels=200"),
        ({"levels": ()}, "must ascend"),
        ({"levels": (0.5, 0.2)}, "must ascend"),
        ({"levels": (0.5, 1.5)}, "up to 1"),
        ({"levels": "cells"}, "a number, a list or target, not cells"),
        ({"spacing": "log"}, "spacing=log is not one of: uniform, kmeans"),
        ({"granularity": "row"}, "granularity=row"),
    ],
)
def test_wrong_options_are_refused(options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        QuantizeConductance(**options)


def test_integers_are_refused_and_options_read_back() -> None:
    with pytest.raises(PassError, match="quantised already"):
        QuantizeConductance().run(build("plain", Style.QUANTIZED), PassContext())
    for text in ("quantize-conductance{levels=[0.25 1]}", "quantize-conductance{levels=target}"):
        assert str(Pipeline.from_text(text)) == text
