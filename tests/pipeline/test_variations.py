"""Copies of an object that differ in one option."""

from __future__ import annotations

import pytest

from snnc.errors import SpecError
from snnc.pipeline import format_spec, variations
from snnc.plugins import BACKENDS, Registry
from snnc_backends.crossbar import CrossbarBackend

CHIP = CrossbarBackend(cell_bits=2, stuck_off=0.25)


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("stuck-on=[0 1e-2]", "stuck_on", {"0": "", "1e-2": " stuck-on=0.01"}),
        ("cell-bits=3", "cell_bits", {"3": None}),
        (
            "device=[ideal gaussian{sigma=0.1}]",
            "device",
            {"ideal": "", "gaussian{sigma=0.1}": " device=gaussian{sigma=0.1}"},
        ),
    ],
)
def test_all_else_stays(text: str, field: str, values: dict[str, str | None]) -> None:
    name, copies = variations(CHIP, text, Registry(BACKENDS))
    assert name == field and list(copies) == list(values)
    for value, shown in values.items():
        written = format_spec(copies[value])
        assert "stuck-off=0.25" in written
        assert shown is None or shown in written
        assert copies[value].cell_bits == (3 if field == "cell_bits" else 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("device=level-list", "cell-bits=2 needs 4 levels, a cell of level-list has 2"),
        ("device=[ideal gausian]", "unknown device 'gausian'"),
        ("stuck=[0 1]", "unknown option 'stuck' of target crossbar"),
        ("stuck-on=[]", "no values of 'stuck-on' are given"),
        ("stuck-on=[0,1]", "the values of a list are separated by spaces"),
        ("stuck-on=[0 0.9]", "stuck-on and stuck-off are 1.15 in sum"),
        ("stuck-on=1 rows=2", "one option and its values are expected"),
        ("", "one option and its values are expected"),
    ],
)
def test_what_cannot_be_read_is_shown(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        variations(CHIP, text, Registry(BACKENDS))
    assert message in str(error.value) and f"crossbar{{{text}}}" in str(error.value)
