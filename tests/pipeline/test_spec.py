"""The grammar of pipelines, targets and recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import SpecError, UsageError
from snnc.pipeline import format_spec, options_of, parse, parse_one


@dataclass(frozen=True, kw_only=True)
class Plain:
    name: ClassVar[str] = "plain"


@dataclass(frozen=True, kw_only=True)
class Rich:
    name: ClassVar[str] = "rich"
    below: float = 0.01
    cell_bits: int = 4
    signed: bool = False
    mode: Literal["a", "b", "none"] = "a"
    text: str = ""
    limit: int | None = None
    label: str | None = None
    either: int | str = 3
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, bool] = (1.0, True)
    nested: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.below < 0:
            raise ValueError("below must not be negative")


@dataclass(frozen=True, kw_only=True)
class Needy:
    name: ClassVar[str] = "needy"
    rows: int


class Names:
    noun = "pass"
    found: ClassVar[dict[str, type]] = {c.name: c for c in (Plain, Rich, Needy)}

    def names(self) -> list[str]:
        return sorted(self.found)

    def get(self, name: str) -> Any:
        if name not in self.found:
            raise UsageError(f"unknown pass {name!r}", hint="installed: needy, plain, rich")
        return self.found[name]


TEXTS = st.text(max_size=12)
RICH = st.builds(
    Rich,
    below=st.floats(min_value=0, allow_nan=False),
    cell_bits=st.integers(),
    signed=st.booleans(),
    mode=st.sampled_from(["a", "b", "none"]),
    text=TEXTS | st.sampled_from(["none", "true", "3", "a b", "it's", "\\", "{x=[1]}"]),
    limit=st.none() | st.integers(),
    label=st.none() | TEXTS | st.just("none"),
    either=st.integers() | TEXTS | st.just("12"),
    sizes=st.lists(st.integers(), max_size=4).map(tuple),
    pair=st.tuples(st.floats(allow_nan=False), st.booleans()),
    nested=st.lists(st.lists(TEXTS, max_size=3).map(tuple), max_size=3).map(tuple),
)
SPECS = st.lists(RICH | st.just(Plain()) | st.builds(Needy, rows=st.integers()), max_size=4)


@given(SPECS)
def test_every_spec_comes_back_from_its_text(specs: list[Any]) -> None:
    text = format_spec(specs)
    again = parse(text, Names())
    assert again == specs
    assert format_spec(again) == text


def test_the_canonical_text_leaves_defaults_out_and_follows_the_fields() -> None:
    text = " plain , rich{sizes=[3   4] below=0.50}"
    assert format_spec(parse(text, Names())) == "plain,rich{below=0.5 sizes=[3 4]}"
    assert format_spec(Rich(below=2.0, text="a b", limit=3)) == "rich{below=2 text='a b' limit=3}"
    assert parse("", Names()) == []


WRONG = [
    ("plin", "unknown pass 'plin'", "plin"),
    ("plain,rich{belw=1}", "unknown option 'belw' of pass rich", "belw"),
    ("rich{below=x}", "a number expected, not 'x'", "x"),
    ("rich{below=nan}", "a number expected", "nan"),
    ("rich{cell-bits=1.5}", "a whole number expected", "1.5"),
    ("rich{signed=yes}", "true or false expected", "yes"),
    ("rich{mode=c}", "one of a, b, none expected, not 'c'", "c"),
    ("rich{sizes=3}", "a list [int …] expected", "3"),
    ("rich{sizes=[1 x]}", "a whole number expected, not 'x'", "x"),
    ("rich{sizes=[1,2]}", "separated by spaces", ","),
    ("rich{pair=[1]}", "2 values expected, not 1", "[1]"),
    ("rich{below=[1]}", "not a list", "[1]"),
    ("rich{limit='3'}", "int|none expected", "'3'"),
    ("rich{below=1 below=2}", "given twice", "below"),
    ("rich{below=-1 cell-bits=3}", "below must not be negative", "below=-1"),
    ("rich{below}", "= after the option 'below'", "}"),
    ("rich{below=}", "a value is expected here", "}"),
    ("rich{below=1", "never closed", "{"),
    ("rich{sizes=[1 2}", "a value is expected here", "}"),
    ("rich{text='a", "never closed", "'"),
    ("plain plain", "a comma between", "p"),
    ("plain,,plain", "a name is expected here", ","),
    ("plain,", "a name is expected here", ""),
    ("needy", "needs the option 'rows'", "needy"),
]


@pytest.mark.parametrize(("text", "reason", "marked"), WRONG)
def test_what_is_wrong_gets_a_reason_and_a_caret(text: str, reason: str, marked: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, Names())
    first, shown, caret = caught.value.message.split("\n")
    assert reason in first
    assert shown == "  " + text
    start, stop = caret.index("^"), caret.rindex("^") + 1
    assert shown[start:stop] == marked


def test_a_misspelt_option_shows_the_one_that_is_meant_and_another_all_of_them() -> None:
    hints: list[str] = []
    for option in ("belw", "xyz"):
        with pytest.raises(SpecError) as caught:
            parse(f"rich{{{option}=1}}", Names())
        hints.append(caught.value.hint or "")
    assert hints[0] == "did you mean 'below'? below (float, default 0.01)"
    assert "cell-bits (int, default 4)" in hints[1] and "below (float" in hints[1]


def test_one_spec_is_one() -> None:
    assert parse_one("rich{signed=true}", Names()) == Rich(signed=True)
    with pytest.raises(SpecError, match="no pass given"):
        parse_one(" ", Names())
    with pytest.raises(SpecError, match="one pass expected, found 2"):
        parse_one("plain,plain", Names())


def test_options_are_described_for_people() -> None:
    described = {info.name: (info.type, info.default) for info in options_of(Rich)}
    assert described["limit"] == ("int|none", "none")
    assert described["sizes"] == ("[int …]", "[1 2]")
    assert described["mode"] == ("a|b|none", "a")
    assert options_of(Needy)[0].default is None
