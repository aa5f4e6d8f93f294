"""An option of a compilation is defined once: flag, keyword argument and field come from it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import snnc
from snnc.cli import options as cli_options
from snnc.cli.flags import After, FlagsOf, Given
from snnc.cli.main import application
from snnc.driver import Job, JobOptions
from snnc.driver.keywords import keywords_of
from snnc.ir import Graph
from snnc.options import (
    CompilationOptions,
    ConversionOptions,
    ModelOptions,
    RunOptions,
    flags,
    option,
)
from snnc.testing import Style, build, sample_inputs

IN_PYTHON = {"model", "output", "sample", "progress", "log"}
OF_VERB = {
    "compile": {"model", "sample", "output", "report", "dry_run"},
    "diagnose": {"model", "compare", "limit", "report"},
    "opt": {"net", "output"},
}
EVERYWHERE = {"json", "quiet", "verbose", "debug", "help"}


def taken(verb: str) -> set[str]:
    """Names of the parameters of a verb."""
    command = typer.main.get_command(application()).commands[verb]  # type: ignore[attr-defined]
    return {p.name for p in command.params} - OF_VERB[verb] - EVERYWHERE


def test_flags_keywords_and_fields_are_the_same() -> None:
    names = set(flags(CompilationOptions))
    assert names == {f.name for f in fields(CompilationOptions)}
    assert taken("compile") == taken("diagnose") == names
    assert set(inspect.signature(snnc.compile).parameters) - IN_PYTHON == names
    assert set(inspect.signature(snnc.diagnose).parameters) - IN_PYTHON - {"limit"} == names
    of_job = {f.name for f in fields(Job)}
    assert {f.name for kind in (RunOptions, ConversionOptions) for f in fields(kind)} <= of_job
    assert taken("opt") == names - set(flags(ModelOptions)) - {"target", "recipe"}


def test_every_option_is_documented() -> None:
    for function in (snnc.compile, snnc.diagnose):
        documented = set(re.findall(r"^    (\w+): ", function.__doc__ or "", re.MULTILINE))
        assert set(inspect.signature(function).parameters) <= documented


@dataclass(frozen=True, kw_only=True)
class Coloured(CompilationOptions):
    """One more option."""

    colour: tuple[int, ...] = option(
        (),
        "--colour",
        metavar="R,G,B",
        help="Colour of the network.",
        meaning="red, green and blue.",
        read=lambda flag, text: tuple(map(int, text.split(","))),
    )


def test_an_option_is_added_by_one_field() -> None:
    seen: list[Any] = []

    def paint(
        *,
        given: Annotated[Given, FlagsOf(Coloured, without=("mean",))],
        size: Annotated[int, typer.Option("--size"), After("seed")] = 1,
    ) -> None:
        """Paint a network."""
        seen.append((given, size))

    paint.__annotations__ = inspect.get_annotations(
        paint, eval_str=True, globals=globals(), locals=locals()
    )
    app = typer.Typer(rich_markup_mode=None)
    cli_options.add(app, "paint", paint)
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "--colour R,G,B" in shown and "Colour of the network." in shown
    assert "--mean" not in shown
    assert shown.index("--seed") < shown.index("--size") < shown.index("--colour")
    done = CliRunner().invoke(app, ["--colour", "1,2,3", "--size", "2"])
    assert done.exit_code == 0, done.output
    defaults = {"target": "cpu", "device": "cpu", "resume": False, "seed": 0}
    assert seen == [({**defaults, "colour": (1, 2, 3)}, 2)]

    @keywords_of(Coloured)
    def draw(model: Any, options: Coloured) -> Coloured:
        """Draw a network."""
        return options

    assert inspect.signature(draw).parameters["colour"].default == ()
    assert "colour: red, green and blue." in (draw.__doc__ or "")
    assert draw("net", colour=(1,), mean=[0.5]) == Coloured(colour=(1,), mean=(0.5,))


def test_wrong_arguments_are_refused_like_those_of_any_function() -> None:
    with pytest.raises(TypeError, match=r"compile\(\) got an unexpected keyword .*'colour'"):
        snnc.compile("net.py:build", colour=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"diagnose\(\) missing .*'calibration'"):
        snnc.diagnose("net.py:build")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"compile\(\) missing .*'model'"):
        snnc.compile()  # type: ignore[call-arg]


def test_a_job_has_the_values_of_its_options() -> None:
    given = JobOptions(seed=3, mean=np.asarray([0.5]), target="reference", workdir="w")
    job = given.job("net.py:build", measure_layers=True)
    assert (job.seed, job.target, job.workdir, job.measure_layers) == (3, "reference", "w", True)
    assert job.source.mean == (0.5,) and job.source.model == "net.py:build"


def test_diagnose_dumps_the_graphs_too(tmp_path: Path) -> None:
    graph: Graph = build("plain", Style.ANN)
    x = sample_inputs(graph, 8)
    snnc.diagnose(graph, calibration=x, dump_ir=tmp_path / "ir", target="reference")
    names = {path.name for path in (tmp_path / "ir").iterdir()}
    assert {"00-model.txt", "00-model.snnc"} <= names and len(names) > 4


def test_a_compiled_network_is_shown_in_a_line() -> None:
    compiled = snnc.compile(build("plain", Style.SNN), target="reference", timesteps=4)
    assert repr(compiled) == "<Compiled: reference, T=4, 206 neurons, 796 parameters, file None>"
