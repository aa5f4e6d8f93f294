"""Packing of rectangles, lower bounds, and the copies that make the shortest pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc_backends.crossbar.mapping.bounds import (
    area_bound,
    concurrency_bound,
    rectangle_bound,
    simple_rectangle_bound,
)
from snnc_backends.crossbar.mapping.packing import Place, Size, pack
from snnc_backends.crossbar.mapping.replication import Stage, balanced

SIZES = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 12)), max_size=15)
TILE = (10, 12)


def count(places: Sequence[Place]) -> int:
    return len({place.tile for place in places})


@settings(max_examples=40)
@given(parts=SIZES, rule=st.sampled_from(["disjoint", "time-multiplexed"]))
def test_parts_of_a_tile_keep_to_the_rule(parts: list[Size], rule: str) -> None:
    bound = (concurrency_bound if rule == "disjoint" else rectangle_bound)(parts, TILE)
    places = pack(parts, TILE, rule, bound)
    assert places == pack(parts, TILE, rule, bound), "the same every time"
    used = np.zeros((len(parts), *TILE), int)
    for (rows, cols), place in zip(parts, places, strict=True):
        assert 0 <= place.top <= TILE[0] - rows and 0 <= place.left <= TILE[1] - cols
        used[place.tile, place.top : place.top + rows, place.left : place.left + cols] += 1
    assert used.max(initial=0) <= 1
    if rule == "disjoint":
        for tile in {place.tile for place in places}:
            own = [i for i, place in enumerate(places) if place.tile == tile]
            assert sum(parts[i][0] for i in own) == used[tile].any(1).sum()
            assert sum(parts[i][1] for i in own) == used[tile].any(0).sum()
    assert {place.tile for place in places} == set(range(count(places)))


@given(parts=SIZES)
def test_no_packing_is_below_a_bound(parts: list[Size]) -> None:
    # a bound of all tiles ends the search at the first packing
    shared = count(pack(parts, TILE, "time-multiplexed", len(parts)))
    disjoint = count(pack(parts, TILE, "disjoint", len(parts)))
    area = area_bound(sum(rows * cols for rows, cols in parts), TILE)
    assert area <= simple_rectangle_bound(parts, TILE) <= rectangle_bound(parts, TILE) <= shared
    assert concurrency_bound(parts, TILE) <= disjoint
    assert max(shared, disjoint) <= len(parts)


def partitions(items: list[Size]) -> Iterator[list[list[Size]]]:
    """All ways to put items in unlabelled tiles."""
    if not items:
        yield []
        return
    first, *rest = items
    for found in partitions(rest):
        for i, tile in enumerate(found):
            yield [*found[:i], [first, *tile], *found[i + 1 :]]
        yield [[first], *found]


@given(parts=st.lists(st.tuples(st.integers(1, 10), st.integers(1, 12)), max_size=6))
def test_few_parts_under_the_disjoint_rule_are_packed_best(parts: list[Size]) -> None:
    best = min(
        len(tiles)
        for tiles in partitions(parts)
        if all(sum(r for r, _ in t) <= 10 and sum(c for _, c in t) <= 12 for t in tiles)
    )
    assert concurrency_bound(parts, TILE) <= best
    assert count(pack(parts, TILE, "disjoint", concurrency_bound(parts, TILE))) == best


@pytest.mark.parametrize(
    ("parts", "tiles"),
    [
        ([(10, 12)] * 7, 7),
        ([(5, 12)] * 4 + [(10, 6)] * 2, 3),
        ([(5, 6)] * 8, 2),
        ([(6, 7)] * 3 + [(4, 12)] * 3, 3),
        ([(1, 1)] * 120, 1),
        ([], 0),
    ],
)
def test_rectangles_that_fill_tiles(parts: list[Size], tiles: int) -> None:
    assert rectangle_bound(parts, TILE) == tiles
    assert count(pack(parts, TILE, "time-multiplexed", tiles)) == tiles


def test_dual_feasible_functions_see_what_the_area_does_not() -> None:
    parts = [(9, 5)] * 8
    assert simple_rectangle_bound(parts, TILE) == 3 and rectangle_bound(parts, TILE) == 4
    parts = [(7, 12)] * 3 + [(4, 12)]
    assert simple_rectangle_bound(parts, TILE) == 3 and rectangle_bound(parts, TILE) == 4
    parts = [(10, 5)] * 8 + [(10, 3)] * 2  # 5 + 3 + 3 of 12 columns; halves of a side are counted
    assert simple_rectangle_bound(parts, TILE) == 4 and rectangle_bound(parts, TILE) == 5


STAGES = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=3
)


@given(shapes=STAGES, spare=st.integers(0, 20))
def test_the_period_is_the_shortest_there_is(
    shapes: list[tuple[int, int, int]], spare: int
) -> None:
    stages = [Stage(str(i), *shape) for i, shape in enumerate(shapes)]
    budget = sum(stage.tiles for stage in stages) + spare
    copies = balanced(stages, budget)
    assert sum(copies[stage.layer] * stage.tiles for stage in stages) <= budget
    found = max(stage.period(copies[stage.layer]) for stage in stages)
    best = min(
        max(stage.period(n) for stage, n in zip(stages, numbers, strict=True))
        for numbers in product(*(range(1, stage.windows + 1) for stage in stages))
        if sum(n * stage.tiles for n, stage in zip(numbers, stages, strict=True)) <= budget
    )
    assert found == best
