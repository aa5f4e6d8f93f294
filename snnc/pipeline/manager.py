"""Validate a pipeline, run it, and verify the result of every pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
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
    "target": "add --target TARGET, to snnc compile; snnc opt has none",
    "ann": "start from a model, or from a graph saved at stage ann",
}
"""How the user supplies a field of `PassContext`."""

Same = Callable[[Graph, Graph], str | None]
"""Compares the graphs before and after a pass: why their functions differ, or None."""


@dataclass(frozen=True)
class Step:
    """One executed pass: name, spec, run time in seconds, whether the graph changed, metrics."""

    name: str
    spec: str
    seconds: float
    changed: bool
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class PipelineResult:
    """The final graph, the last graph of stage `ann` (or None), and a `Step` per pass."""

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
        """Reasons why the pipeline cannot run on a graph of `stage`, one line each."""
        problems: list[str] = []
        seen_ann = ctx.ann is not None or stage is Stage.ANN
        before = "the graph"
        for step in self.passes:
            if step.takes is not stage:
                takes = f"{step.name} takes a graph of stage {step.takes}"
                problems.append(f"{takes}; {before} gives {stage}")
            for need in sorted(step.requirements()):
                if need == "ann" and seen_ann:
                    continue
                names = need.split("|")
                if all(getattr(ctx, name) is None for name in names):
                    remedy = FLAGS.get(names[0], "set it in the context")
                    problems.append(f"{step.name} needs {' or '.join(names)}: {remedy}")
            stage, before = step.gives, step.name
            seen_ann = seen_ann or stage is Stage.ANN
        return problems

    def check(self, stage: Stage, ctx: PassContext) -> None:
        """Raise `UsageError` listing all `problems`."""
        problems = self.problems(stage, ctx)
        if len(problems) == 1:
            problem, _, remedy = problems[0].partition(": ")
            raise UsageError(problem, hint=remedy or f"the pipeline is: {self}")
        if problems:
            listed = "\n  ".join(problems)
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
        """Run the passes in order, each on a clone of the previous result; `graph` is not modified.

        Args:
            graph: of the stage the first pass takes.
            ctx: `integers`, `ann`, and `timesteps` after a change of the window, are set per pass.
            after_pass: called after each pass with its number (from 1), name and result.
            same: called after each pass that changed the graph and declares `preserves_function`.

        Raises:
            UsageError: the pipeline cannot run; raised before any pass runs.
            PassError, GraphError, …: a pass failed; the hint holds the rest of the pipeline.
        """
        self.check(graph.stage, ctx)
        ctx = _updated(ctx, graph, graph)
        steps: list[Step] = []
        fingerprint = graph.fingerprint()
        for number, step in enumerate(self.passes, 1):
            before, earlier = graph, fingerprint
            start = time.perf_counter()
            later = any(other.gives_integers for other in self.passes[number:])
            result = self._run_pass(number, step, before, replace(ctx, integers=later))
            seconds = time.perf_counter() - start
            graph, fingerprint = result.graph, result.graph.fingerprint()
            changed = fingerprint != earlier
            steps.append(Step(step.name, format_spec(step), seconds, changed, result.metrics))
            if same is not None and changed and step.preserves_function:
                self._require_same(number, same(before, graph))
            ctx = _updated(ctx, before, graph)
            self._log_step(ctx, number, steps[-1])
            if after_pass is not None:
                after_pass(number, step.name, graph)
        return PipelineResult(graph, ctx.ann, tuple(steps))

    def _run_pass(self, number: int, step: Pass, graph: Graph, ctx: PassContext) -> PassResult:
        """Run one pass on a clone of `graph` and verify its result."""
        try:
            result = step.run(graph.clone(), _with_own_workdir(number, step, ctx))
            if result.graph.stage is not step.gives:
                stage = result.graph.stage
                raise GraphError(f"gives a graph of stage {stage}, declared {step.gives}")
            _check_integers(step, result.graph)
            verify(result.graph)
        except SnncError as error:
            self._fail(number, error)
        except Exception as error:  # a third-party pass may raise anything
            self._fail(number, PassError(f"{type(error).__name__}: {error}"), error)
        return result

    def _require_same(self, number: int, reason: str | None) -> None:
        if reason is not None:
            declared = "declares that it preserves the function, and does not"
            self._fail(number, GraphError(f"{declared}: {reason}"))

    def _log_step(self, ctx: PassContext, number: int, step: Step) -> None:
        ctx.log.info(
            "%d/%d %s  %.1f s%s",
            *(number, len(self.passes), step.spec, step.seconds, _figures(step)),
        )

    def _fail(self, number: int, error: SnncError, cause: Exception | None = None) -> NoReturn:
        """Raise `error` with the name of the pass and a hint how to rerun the remaining passes."""
        rest = format_spec(self.passes[number - 1 :])
        repro = f"to try again from here: --dump-ir DIR, then snnc opt GRAPH.snnc --passes '{rest}'"
        error.message = f"pass {self.passes[number - 1].name}: {error.message}"
        error.args = (error.message,)
        error.hint = "\n".join(part for part in (error.hint, repro) if part)
        if cause is None:
            raise error
        raise error from cause


def _check_integers(step: Pass, graph: Graph) -> None:
    """Raise `GraphError` if the pass declares integers and gives real values, or vice versa."""
    if step.gives_integers is not None and step.gives_integers is not graph.quantized:
        kinds = {True: "integers", False: "real values"}
        declared = kinds[step.gives_integers]
        raise GraphError(f"gives {kinds[graph.quantized]}, declared {declared}")


def _with_own_workdir(number: int, step: Pass, ctx: PassContext) -> PassContext:
    """The context whose `workdir` is the subfolder `NN-name` of the pass."""
    if ctx.workdir is None:
        return ctx
    return replace(ctx, workdir=ctx.workdir / f"{number:02}-{step.name}")


def _updated(ctx: PassContext, before: Graph, after: Graph) -> PassContext:
    """The context with `after` as its ANN if it is one, and its window if the pass changed it."""
    if after.stage is Stage.ANN:
        ctx = replace(ctx, ann=after)
    window = before.meta.get("timesteps")
    if after.meta.get("timesteps", window) == window:
        return ctx
    return replace(ctx, timesteps=after.meta["timesteps"])


def _figures(step: Step) -> str:
    scalars = {key: value for key, value in step.metrics.items() if _is_scalar(value)}
    if not step.changed and not any(scalars.values()):
        return "  nothing to do"
    shown = ", ".join(f"{key} {_short(value)}" for key, value in scalars.items())
    return f"  {shown}" if shown else ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
