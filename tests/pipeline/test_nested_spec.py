"""Options that are plugins with options of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import PluginError, SpecError, UsageError
from snnc.pipeline import format_spec, nested_plugins, options_of, parse, parse_one
from snnc.plugin_option import Plugin
from snnc_backends.crossbar import CrossbarBackend
from snnc_passes.threshold.threshold_balance import ThresholdBalance


class Cell(Protocol):
    name: ClassVar[str]


@dataclass(frozen=True)
class Perfect:
    name: ClassVar[str] = "perfect"


@dataclass(frozen=True)
class Gaussian:
    name: ClassVar[str] = "gaussian"
    sigma: float
    label: str = ""
    like: Annotated[Cell, Plugin("test.cells")] = Perfect()

    def __post_init__(self) -> None:
        if self.sigma < 0:
            raise ValueError("sigma must not be negative")


@dataclass(frozen=True)
class Adam:
    name: ClassVar[str] = "adam"
    lr: float = 1e-3


@dataclass(frozen=True)
class Sgd:
    name: ClassVar[str] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True, kw_only=True)
class Learn:
    name: ClassVar[str] = "learn"
    cell: Annotated[Cell, Plugin("test.cells")] = Perfect()
    optimizer: Adam | Sgd = Adam()
    second_optimizer: Adam | Sgd | None = None
    schedule: tuple[Adam | Sgd, ...] = ()
    cells: tuple[Annotated[Cell, Plugin("test.cells")], int] | None = None
    text: str = ""
    mixed: str | int | Sgd = "none"
    either: Annotated[Cell, Plugin("test.cells")] | Adam = Adam()
    plain: Annotated[int, "a mark that says nothing"] = 0

    def __post_init__(self) -> None:
        if isinstance(self.cell, Gaussian) and self.cell.sigma > 9:
            raise ValueError("cell: sigma is too large")


@dataclass(frozen=True)
class Names:
    noun: str
    classes: tuple[Any, ...]

    def names(self) -> list[str]:
        return [each.name for each in self.classes]

    def get(self, name: str) -> Any:
        for each in self.classes:
            if each.name == name:
                return each
        raise UsageError(f"unknown {self.noun} {name!r}", hint=f"installed: {self.names()}")


PASSES = Names("pass", (Learn,))


def groups(group: str) -> Names:
    assert group == "test.cells"
    return Names("cell", (Perfect, Gaussian))


def read(text: str) -> Any:
    return parse_one(text, PASSES, groups)


GOOD = [
    ("learn{cell=perfect}", Learn(), "learn"),
    ("learn{cell=perfect{}}", Learn(), "learn"),
    ("learn{cell=gaussian{sigma=0.05}}", Learn(cell=Gaussian(0.05)), None),
    (
        "learn{ cell=gaussian{ label='a }' sigma=1 } plain=2 }",
        Learn(cell=Gaussian(1.0, "a }"), plain=2),
        "learn{cell=gaussian{sigma=1 label='a }'} plain=2}",
    ),
    (
        "learn{cell=gaussian{sigma=1 like=gaussian{sigma=2}}}",
        Learn(cell=Gaussian(1.0, like=Gaussian(2.0))),
        None,
    ),
    ("learn{optimizer=adam{lr=1e-3}}", Learn(), "learn"),
    ("learn{optimizer=sgd}", Learn(optimizer=Sgd()), None),
    ("learn{second-optimizer=none}", Learn(), "learn"),
    ("learn{second-optimizer=sgd{lr=2}}", Learn(second_optimizer=Sgd(2.0)), None),
    ("learn{schedule=[adam sgd{momentum=0}]}", Learn(schedule=(Adam(), Sgd(momentum=0.0))), None),
    ("learn{cells=[gaussian{sigma=0} 3]}", Learn(cells=(Gaussian(0.0), 3)), None),
    ("learn{mixed='sgd'}", Learn(mixed="sgd"), None),
    ("learn{mixed=sgd}", Learn(mixed=Sgd()), None),
    ("learn{mixed=3}", Learn(mixed=3), None),
    ("learn{either=perfect}", Learn(either=Perfect()), None),
    ("learn{either=adam{lr=2}}", Learn(either=Adam(2.0)), None),
]


@pytest.mark.parametrize(("text", "value", "canonical"), GOOD)
def test_a_value_has_options_of_its_own(text: str, value: Learn, canonical: str | None) -> None:
    assert read(text) == value
    assert format_spec(value) == (canonical or text)
    assert read(format_spec(value)) == value


WRONG = [
    ("learn{cell=gausian{sigma=1}}", "unknown cell 'gausian'", "gausian"),
    ("learn{cell=3}", "unknown cell '3'", "3"),
    ("learn{cell='perfect'}", "plugin of test.cells expected, not quoted text", "'perfect'"),
    ("learn{cell=[perfect]}", "plugin of test.cells expected, not a list", "[perfect]"),
    ("learn{cell=gaussian}", "cell gaussian needs the option 'sigma'", "gaussian"),
    ("learn{cell=gaussian{sigm=1}}", "unknown option 'sigm' of cell gaussian", "sigm"),
    ("learn{cell=gaussian{sigma=x}}", "option 'sigma' of cell gaussian: a number", "x"),
    ("learn{cell=gaussian{sigma=1 sigma=2}}", "option 'sigma' is given twice", "sigma"),
    ("learn{plain=1 cell=gaussian{sigma=-1}}", "cell gaussian: sigma must not", "sigma=-1"),
    ("learn{plain=1 cell=gaussian{sigma=10}}", "sigma is too large", "cell=gaussian{sigma=10}"),
    ("learn{cell=gaussian{sigma=1}", "this { is never closed", "{"),
    ("learn{cell=gaussian{sigma=1 like=gaussian{}}}", "needs the option 'sigma'", "gaussian"),
    ("learn{cell=gaussian {sigma=1}}", "an option, written name=value, is expected", "{"),
    ("learn{cell=gaussian{sigma=1}plain}", "= after the option 'plain'", "}"),
    ("learn{optimizer=adm}", "unknown optimizer 'adm'", "adm"),
    ("learn{second-optimizer=adm}", "unknown second optimizer 'adm'", "adm"),
    ("learn{optimizer=sgd{momentum=none}}", "option 'momentum' of optimizer sgd", "none"),
    ("learn{schedule=[adam sgdd]}", "unknown schedule 'sgdd'", "sgdd"),
    ("learn{text=a{b=1}}", "option 'text' of pass learn: str expected, not a{…}", "a{b=1}"),
    ("learn{text={b=1}}", "a value is expected here", "{"),
    ("learn{plain=a{b=1}}", "int expected, not a{…}", "a{b=1}"),
    ("learn{schedule=adam{lr=1}}", "a list [adam|sgd …] expected, not adam{…}", "adam{lr=1}"),
    ("learn{mixed='a'{b=1}}", "an option, written name=value, is expected", "{"),
]


@pytest.mark.parametrize(("text", "reason", "marked"), WRONG)
def test_the_caret_is_at_its_place_in_the_whole_text(text: str, reason: str, marked: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    first, shown, caret = caught.value.message.split("\n")
    assert reason in first
    assert shown == "  " + text
    start, stop = caret.index("^"), caret.rindex("^") + 1
    assert shown[start:stop] == marked
    assert stop == len(caret)


def test_the_caret_is_under_the_inner_of_two_equal_names() -> None:
    with pytest.raises(SpecError) as caught:
        read("learn{cell=gaussian{sigma=1 like=gaussian{sigma=y}}}")
    _, shown, caret = caught.value.message.split("\n")
    assert caret.index("^") == shown.index("y}")


def test_the_right_names_and_options_are_told() -> None:
    with pytest.raises(SpecError) as caught:
        read("learn{optimizer=adm}")
    assert caught.value.hint == "did you mean 'adam'? one of: adam, sgd"
    with pytest.raises(SpecError) as caught:
        read("learn{optimizer=sgd{momentun=1}}")
    assert caught.value.hint == "did you mean 'momentum'? momentum (float, default 0.9)"


def test_a_plugin_that_cannot_be_loaded_stays_an_error_of_the_plugin() -> None:
    class Broken(Names):
        def get(self, name: str) -> Any:
            raise PluginError(f"cell {name!r} cannot be loaded")

    with pytest.raises(PluginError, match="'perfect' cannot be loaded"):
        parse_one("learn{cell=perfect}", PASSES, lambda group: Broken("cell", (Perfect,)))


def test_without_a_registry_the_installed_plugins_are_meant() -> None:
    with pytest.raises(SpecError, match="unknown plugin 'perfect'"):
        parse_one("learn{cell=perfect}", PASSES)


def test_they_are_described_for_people() -> None:
    described = {info.name: (info.type, info.default) for info in options_of(Learn)}
    assert described["cell"] == ("plugin of test.cells", "perfect")
    assert described["optimizer"] == ("adam|sgd", "adam")
    assert described["second-optimizer"] == ("adam|sgd|none", "none")
    assert described["schedule"] == ("[adam|sgd …]", "[]")
    assert described["plain"] == ("int", "0")


NUMBERS = st.floats(min_value=0, max_value=9, allow_nan=False)
TEXTS = st.text(max_size=8) | st.sampled_from(["none", "sgd", "adam{lr=1}", "}", "3"])
OPTIMIZERS = st.builds(Adam, NUMBERS) | st.builds(Sgd, NUMBERS, NUMBERS)
CELLS = st.recursive(
    st.just(Perfect()), lambda inner: st.builds(Gaussian, NUMBERS, TEXTS, inner), max_leaves=4
)
LEARN = st.builds(
    Learn,
    cell=CELLS,
    optimizer=OPTIMIZERS,
    second_optimizer=st.none() | OPTIMIZERS,
    schedule=st.lists(OPTIMIZERS, max_size=3).map(tuple),
    cells=st.none() | st.tuples(CELLS, st.integers()),
    text=TEXTS,
    mixed=TEXTS | st.integers() | st.builds(Sgd, NUMBERS),
    either=CELLS | st.builds(Adam, NUMBERS),
    plain=st.integers(),
)


@given(st.lists(LEARN, max_size=3))
def test_every_nested_spec_comes_back_from_its_text(specs: list[Learn]) -> None:
    text = format_spec(specs)
    again = parse(text, PASSES, groups)
    assert again == specs
    assert format_spec(again) == text


def test_plugins_in_options_are_listed() -> None:
    assert nested_plugins(CrossbarBackend()) == [("snnc.devices", "ideal")]
    assert nested_plugins(ThresholdBalance()) == []
