"""Check a list of passes, run it, and verify the graph after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from snnc.errors import GraphError, PassError, SnncError, UsageError
from snnc.ir import Graph, Stage, verify
from snnc.pipeline.spec import Names, format_spec, parse
from snnc.plugins import PASSES, Registry
from snnc.transform import AfterPass, Pass, PassContext, PassResult

FLAGS: Mapping[str, str] = {
    "calibration": "add --calibration DATA",
    "train": "add --train DATA",
    "validation": "add --validation DATA",
    "workdir": "add --workdir DIR",
    "target": "add --target TARGET",
    "ann": "start from a model, or from a graph saved at stage ann",
}
"""What the user must do so that a field of `PassContext` is there."""

Same = Callable[[Graph, Graph], str | None]
"""Compares the graphs before and after a pass: why they compute different things, or None."""


@dataclass(frozen=True)
class Step:
    """What one pass did: its name, its spec, its time, whether the graph changed, its figures."""

    name: str
    spec: str
    seconds: float
    changed: bool
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class PipelineResult:
    """The last graph, the last graph of stage `ann` (or None), and what every pass did."""

    graph: Graph
    ann: Graph | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Pipeline:
    """Passes in order; `str(pipeline)` is its canonical text."""

    passes: tuple[Pass, ...]

    def __init__(self, passes: Iterable[Pass] = ()) -> None:
        object.__setattr__(self, "passes", tuple(passes))

    @classmethod
    def from_text(cls, text: str, registry: Names | None = None) -> Pipeline:
        """Read `name{opt=val},name2`. Raises `SpecError` with a caret, or `PluginError`."""
        return cls(parse(text, registry or Registry(PASSES)))

    def __str__(self) -> str:
        return format_spec(self.passes)

    def problems(self, stage: Stage, ctx: PassContext) -> list[str]:
        """Why the pipeline cannot run on a graph of `stage`: one line for each reason."""
        return list(self._problems(stage, ctx))

    def _problems(self, stage: Stage, ctx: PassContext) -> Iterator[str]:
        seen_ann = ctx.ann is not None or stage is Stage.ANN
        before = "the graph"
        for each in self.passes:
            if each.takes is not stage:
                yield f"{each.name} takes a graph of stage {each.takes}; {before} gives {stage}"
            for need in sorted(each.requirements()):
                if need == "ann" and seen_ann:
                    continue
                names = need.split("|")
                if all(getattr(ctx, name) is None for name in names):
                    remedy = FLAGS.get(names[0], "set it in the context")
                    yield f"{each.name} needs {' or '.join(names)}: {remedy}"
            stage, before = each.gives, each.name
            seen_ann = seen_ann or stage is Stage.ANN

    def check(self, stage: Stage, ctx: PassContext) -> None:
        """Raise `UsageError` naming everything `problems` finds."""
        found = self.problems(stage, ctx)
        if len(found) == 1:
            problem, _, remedy = found[0].partition(": ")
            raise UsageError(problem, hint=remedy or f"the pipeline is: {self}")
        if found:
            listed = "\n  ".join(found)
            hint = f"the pipeline is: {self}"
            raise UsageError(f"the pipeline cannot run:\n  {listed}", hint=hint)

    def run(
        self,
        graph: Graph,
        ctx: PassContext,
        *,
        after_pass: AfterPass | None = None,
        same: Same | None = None,
    ) -> PipelineResult:
        """Run every pass on a clone of what the one before gave; `graph` is left as it is.

        Args:
            graph: of the stage the first pass takes.
            ctx: `ann` is kept up to date by the pipeline, `timesteps` follows a pass that gives
                the graph another window.
            after_pass: called after each pass with its number (from 1), name and result.
            same: asked after each pass that changed the graph and `preserves_function`.

        Raises:
            UsageError: the pipeline cannot run; found before anything runs.
            PassError, GraphError, …: of the pass that failed, with the rest of the pipeline.
        """
        self.check(graph.stage, ctx)
        steps: list[Step] = []
        fingerprint = graph.fingerprint()
        for number, each in enumerate(self.passes, 1):
            if graph.stage is Stage.ANN:
                ctx = replace(ctx, ann=graph)
            window = graph.meta.get("timesteps")
            before, earlier = graph, fingerprint
            start = time.perf_counter()
            result = self._result(number, each, before, ctx)
            seconds = time.perf_counter() - start
            graph, fingerprint = result.graph, result.graph.fingerprint()
            changed = fingerprint != earlier
            steps.append(Step(each.name, format_spec(each), seconds, changed, result.metrics))
            if same is not None and changed and each.preserves_function:
                self._require_same(number, same(before, graph))
            if graph.meta.get("timesteps", window) != window:
                ctx = replace(ctx, timesteps=graph.meta["timesteps"])
            self._tell(ctx, number, steps[-1])
            if after_pass is not None:
                after_pass(number, each.name, graph)
        ann = graph if graph.stage is Stage.ANN else ctx.ann
        return PipelineResult(graph, ann, tuple(steps))

    def _result(self, number: int, each: Pass, graph: Graph, ctx: PassContext) -> PassResult:
        """What the pass makes of a clone of `graph`, verified."""
        try:
            result = each.run(graph.clone(), _at_home(number, each, ctx))
            if result.graph.stage is not each.gives:
                stage = result.graph.stage
                raise GraphError(f"gives a graph of stage {stage}, declared {each.gives}")
            _check_integers(each, result.graph)
            verify(result.graph)
        except SnncError as error:
            self._fail(number, error)
        except Exception as error:  # a pass is a stranger's code: name it, whatever it does
            self._fail(number, PassError(f"{type(error).__name__}: {error}"), error)
        return result

    def _require_same(self, number: int, reason: str | None) -> None:
        if reason is not None:
            declared = "declares that it preserves the function, and does not"
            self._fail(number, GraphError(f"{declared}: {reason}"))

    def _tell(self, ctx: PassContext, number: int, step: Step) -> None:
        ctx.log.info(
            "%d/%d %s  %.1f s%s",
            *(number, len(self.passes), step.spec, step.seconds, _figures(step)),
        )

    def _fail(self, number: int, error: SnncError, cause: Exception | None = None) -> NoReturn:
        """Raise `error` with the pass's name, and how to run the rest of the pipeline again."""
        rest = format_spec(self.passes[number - 1 :])
        repro = f"to try again from here: --dump-ir DIR, then snnc opt GRAPH.snnc --passes '{rest}'"
        error.message = f"pass {self.passes[number - 1].name}: {error.message}"
        error.args = (error.message,)
        error.hint = "\n".join(part for part in (error.hint, repro) if part)
        if cause is None:
            raise error
        raise error from cause


def _check_integers(each: Pass, graph: Graph) -> None:
    """Raise `GraphError` for a graph that is not of the numbers the pass declares."""
    if each.gives_integers is not None and each.gives_integers is not graph.quantized:
        kinds = {True: "integers", False: "real values"}
        declared = kinds[each.gives_integers]
        raise GraphError(f"gives {kinds[graph.quantized]}, declared {declared}")


def _at_home(number: int, each: Pass, ctx: PassContext) -> PassContext:
    """The context with a folder of the pass's own, `NN-name`, in the working directory."""
    if ctx.workdir is None:
        return ctx
    return replace(ctx, workdir=ctx.workdir / f"{number:02}-{each.name}")


def _figures(step: Step) -> str:
    shown = [f"{key} {_short(value)}" for key, value in step.metrics.items() if _is_scalar(value)]
    unchanged = [] if step.changed else ["nothing to do"]
    return "  " + ", ".join(unchanged + shown) if unchanged or shown else ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
