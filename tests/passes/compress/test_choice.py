"""Which weights go: fractions, thresholds, rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc_passes.compress._choice import Units, above, strongest

RNG = np.random.default_rng(0)


def units(strengths: dict[str, Any], structure: Any = "none", block: int = 0) -> dict[str, Units]:
    return {n: Units.made(s.shape, 1, structure, block) for n, s in strengths.items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75, 0.999])
def test_the_weakest_fraction_of_every_layer_goes(sparsity: float) -> None:
    strengths = {"a": RNG.normal(size=(4, 3, 3, 3)), "b": RNG.normal(5, 1, size=(10, 20))}
    kept = strongest(strengths, units(strengths), sparsity, "layer")
    for name, each in strengths.items():
        gone = ~kept[name]
        assert gone.sum() == int(sparsity * each.size + 1e-9)
        assert not gone.any() or each[gone].max() < each[~gone].min()


def test_the_weakest_of_the_network_may_all_lie_in_one_layer() -> None:
    strengths = {"weak": RNG.uniform(0, 1, (5, 5)), "strong": RNG.uniform(2, 3, (5, 5))}
    kept = strongest(strengths, units(strengths), 0.5, "network")
    assert not kept["weak"].any() and kept["strong"].all()


def test_ties_do_not_change_the_number() -> None:
    strengths = {"a": np.zeros((8, 8))}
    assert strongest(strengths, units(strengths), 0.5, "layer")["a"].sum() == 32


def test_a_threshold_takes_everything_that_is_not_stronger() -> None:
    strengths = {"a": np.array([[0.1, 0.2, 0.3, -1.0]])}
    kept = above(strengths, units(strengths), 0.2)["a"]
    assert kept.tolist() == [[False, False, True, False]]


def test_rows_are_inputs_of_a_matrix_and_columns_are_outputs() -> None:
    strengths = {"a": RNG.uniform(size=(6, 2, 3, 3))}
    rows = strongest(strengths, units(strengths, "rows"), 0.5, "layer")["a"]
    flat = rows.reshape(6, -1)
    assert np.all(flat == flat[:1]) and flat[0].sum() == 9
    means = strengths["a"].reshape(6, -1).mean(0)
    assert means[flat[0]].min() > means[~flat[0]].max()
    columns = strongest(strengths, units(strengths, "columns"), 0.5, "layer")["a"].reshape(6, -1)
    assert np.all(columns == columns[:, :1]) and columns[:, 0].sum() == 3


def test_groups_have_rows_of_their_own() -> None:
    made = Units.made((4, 2, 1, 1), 2, "rows", 0)
    assert made.of.reshape(4, 2).tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]


def test_blocks_cut_rows_and_columns() -> None:
    rows = Units.made((5, 2), 1, "rows", 2)
    assert rows.of.reshape(5, 2).tolist() == [[0, 3], [0, 3], [1, 4], [1, 4], [2, 5]]
    assert rows.sizes.tolist() == [2, 2, 1, 2, 2, 1]
    columns = Units.made((2, 5), 1, "columns", 3)
    assert columns.of.reshape(2, 5).tolist() == [[0, 0, 0, 1, 1], [2, 2, 2, 3, 3]]


def test_units_of_unequal_size_never_exceed_the_sparsity() -> None:
    strengths = {"a": RNG.uniform(size=(7, 11))}
    for sparsity in np.linspace(0, 0.99, 23):
        kept = strongest(strengths, units(strengths, "rows", 3), float(sparsity), "layer")["a"]
        gone = np.sum(~kept)
        assert sparsity * 77 - 3 <= gone <= sparsity * 77 + 1e-9
