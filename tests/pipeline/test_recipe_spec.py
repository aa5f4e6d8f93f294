"""Errors that an option of a recipe causes in its passes are shown in the text of the recipe."""

from __future__ import annotations

import pytest

from snnc.errors import SpecError
from snnc.pipeline import Pipeline, parse_recipe
from snnc.plugins import PASSES, RECIPES, Registry


def read(text: str) -> Pipeline:
    return Pipeline(parse_recipe(text, Registry(RECIPES), Registry(PASSES)))


@pytest.mark.parametrize(
    ("text", "reason", "marked"),
    [
        ("compress-stdp{sparsity=0.5 lr=-1}", "lr=-1 is not positive", "lr=-1"),
        ("few-steps{lr=-1}", "lr=-1 is not positive", "lr=-1"),
        ("few-steps{start=0 lr=1}", "start=0 is not positive", "start=0"),
        ("compress-stdp{prune-every=0 levels=2}", "prune-every=0 is not positive", "prune-every=0"),
        ("diet{batch=16 dropout=2}", "dropout=2 is not in", "dropout=2"),
        ("hybrid{epochs=0}", "epochs=0 is not positive", "epochs=0"),
        ("convert{bits=99}", "bits must be", "bits=99"),
    ],
)
def test_the_caret_is_under_what_was_typed(text: str, reason: str, marked: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    first, shown, caret = caught.value.message.split("\n")
    assert first.startswith(f"recipe {text.partition('{')[0]}: ") and reason in first
    assert shown == "  " + text
    assert shown[caret.index("^") : caret.rindex("^") + 1] == marked
    assert (caught.value.hint or "").startswith(f"{marked.partition('=')[0]} (")


def test_a_recipe_gives_its_passes() -> None:
    assert str(read("convert{bits=4}")).endswith("quantize{bits=4}")
