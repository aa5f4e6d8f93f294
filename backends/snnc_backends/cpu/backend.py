"""The backend `cpu`: kernels compiled for this processor, one module per network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snnc.errors import UsageError
from snnc.target import Artifact, Diagnostic

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.transform import PassContext
    from snnc_backends.cpu.program import CpuProgram

PLAN = "cpu/plan.json"
WEIGHTS = "cpu/weights.bin"
FEATURES = ("sse2", "avx2", "avx512")


@dataclass(frozen=True)
class CpuBackend:
    """Runs a network on this machine's processor; only nonzero inputs of a layer cost time.

    Attributes:
        threads: that share a batch, or a sample that is run alone if it takes long enough; 0 for
            one per processor core.
        features: instructions that are used at most: sse2, avx2 or avx512; by default those of
            this processor.
    """

    name: ClassVar[str] = "cpu"
    threads: int = 0
    features: str = ""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UsageError(f"threads={self.threads} is negative; 0 means one per core")
        if self.features not in ("", *FEATURES):
            raise UsageError(f"features={self.features} is none of {', '.join(FEATURES)}")

    def check(self, graph: Graph) -> list[Diagnostic]:
        """The nodes that cannot be run, each with a reason and a remedy."""
        from snnc_backends.cpu.check import check

        return check(graph)

    def legalize(self, graph: Graph) -> str:
        """Nothing: every op of stage `snn` has a kernel."""
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """`cpu/plan.json` and `cpu/weights.bin`."""
        from snnc_backends.cpu.lower import lower

        stored = graph.meta.get("timesteps")
        plan, weights = lower(graph, stored if isinstance(stored, int) else ctx.timesteps)
        return {PLAN: plan.to_json(), WEIGHTS: weights}

    def load(self, artifact: Artifact) -> CpuProgram:
        """Check the plan, then compile its kernels or read them from the user's cache."""
        from snnc.native.cache import open_cache
        from snnc.native.jit import host
        from snnc_backends.cpu.program import load

        try:
            target = host(self.features)
        except ValueError as error:
            raise UsageError(f"features={self.features}: {error}") from None
        plan, weights = artifact.read(PLAN), artifact.read(WEIGHTS)
        return load(plan, weights, self.threads, open_cache(), target)

    def plan_rows(self, artifact: Artifact) -> list[dict[str, Any]]:
        """The kernels of the plan with their buffers, expected times and threads."""
        from snnc_backends.cpu.plan_rows import plan_rows
        from snnc_backends.cpu.program import checked_plan, threads_for

        plan, _ = checked_plan(artifact.read(PLAN), artifact.read(WEIGHTS))
        return plan_rows(plan, artifact.graph(), threads_for(self.threads))

    def require_match(self, program: CpuProgram, graph: Graph) -> None:
        """Raise `ArtifactError` unless the plan of a program can be one of `graph`."""
        from snnc_backends.cpu.match import require_match

        require_match(program.plan, graph)
