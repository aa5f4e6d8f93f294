"""`profile`: firing statistics of every population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from snnc.errors import PassError
from snnc.ir import AnyNeuron, CountMaxPool, Encode, Graph, Node, SumPool
from snnc.tallies import FiringTally
from snnc.training import FastInterpreter
from snnc.transform import Pass, PassContext, PassResult, size_of
from snnc_passes._samples import chunks


@dataclass(frozen=True, kw_only=True)
class Profile(Pass):
    """Write `graph.stats[node]` for every population, count and encoded input.

    Over the calibration data and the window T: `rate`, mean magnitude of events per element and
    step; `max`, the largest magnitude in one step; `silent`, the fraction of elements that never
    fired; `samples` and `timesteps`. For cost models and placement.

    Metrics: `rates`, by node.
    """

    name: ClassVar[str] = "profile"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        if ctx.calibration is None:
            raise PassError("needs calibration data")
        tallies: dict[str, _Profile] = {}

        def observe(node: Node, inputs: Sequence[torch.Tensor], value: torch.Tensor) -> None:
            if isinstance(node.op, AnyNeuron | SumPool | CountMaxPool | Encode):
                tallies.setdefault(node.name, _Profile()).add(value, ctx.timesteps)

        interpreter = FastInterpreter(graph, device=ctx.device)
        samples = 0
        with ctx.progress("profile", size_of(ctx.calibration)) as advance, torch.no_grad():
            for x in chunks(ctx.calibration):
                interpreter.snn(x, ctx.timesteps, observe=observe)
                samples += len(x)
                advance(len(x))
        facts = {"samples": samples, "timesteps": ctx.timesteps}
        graph.stats.update({name: t.stats(facts) for name, t in tallies.items()})
        rates = {name: values["rate"] for name, values in graph.stats.items()}
        return PassResult(graph, metrics={"rates": rates})


@dataclass
class _Profile:
    """Firing statistics of one node, and its largest magnitude."""

    firing: FiringTally = field(default_factory=FiringTally)
    largest: float = 0.0

    def add(self, value: torch.Tensor, timesteps: int) -> None:
        """Add values (T or 1, n, *shape)."""
        size = value.abs()
        repeats = timesteps // len(value)
        fired = (size.sum(dim=(0, 1)) > 0).cpu().numpy()
        events, elements = float(size.sum()) * repeats, value.numel() * repeats
        self.firing.add(events, elements, value.shape[1], fired)
        self.largest = max(self.largest, float(size.max()))

    def stats(self, facts: dict[str, int]) -> dict[str, Any]:
        """The statistics, JSON-able."""
        firing = self.firing
        return {"rate": firing.rate, "max": self.largest, "silent": firing.silent, **facts}
