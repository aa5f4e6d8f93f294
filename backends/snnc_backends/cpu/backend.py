"""The backend `cpu`: kernels compiled for this processor, one module per network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from snnc.errors import UsageError
from snnc.target import Artifact, Diagnostic

if TYPE_CHECKING:
    from snnc.ir import Graph
    from snnc.native.jit import Host
    from snnc.transform import PassContext
    from snnc_backends.cpu.program import CpuProgram

PLAN = "cpu/plan.json"
WEIGHTS = "cpu/weights.bin"
FEATURES = ("sse2", "avx2", "avx512", "amx")


@dataclass(frozen=True)
class CpuBackend:
    """Runs a network on this machine's processor; only nonzero inputs of a layer cost time.

    Attributes:
        threads: that share a batch, or a sample that is run alone if it takes long enough; 0 for
            one per processor core.
        features: instructions that are used at most: sse2, avx2, avx512 or amx; by default those
            of this processor.
        mode: exact refuses a network whose spikes are not proved to be those of the reference;
            faithful also takes real values whose sums are rounded in another order.
    """

    name: ClassVar[str] = "cpu"
    threads: int = 0
    features: str = ""
    mode: Literal["exact", "faithful"] = "faithful"

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UsageError(f"threads={self.threads} is negative; 0 means one per core")
        if self.features not in ("", *FEATURES):
            raise UsageError(f"features={self.features} is none of {', '.join(FEATURES)}")

    def check(self, graph: Graph) -> list[Diagnostic]:
        """The nodes that cannot be run, each with a reason and a remedy."""
        from snnc_backends.cpu.check import check, inexact

        found = check(graph)
        return found if found or self.mode != "exact" else inexact(graph)

    def may_differ(self, graph: Graph) -> str:
        """Why spikes may differ from those of the reference; "" if they are proved equal."""
        from snnc_backends.cpu.exactness import exactness

        found = exactness(graph)
        if found.node is None and found.window >= graph.meta.get("timesteps", 1):
            return ""
        if found.node is None:
            return f"float32 is exact for at most {found.window} steps"
        return f"{found.node.name} {found.reason}"

    def legalize(self, graph: Graph) -> str:
        """Nothing: every op of stage `snn` has a kernel."""
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        """`cpu/plan.json` and `cpu/weights.bin`."""
        from snnc_backends.cpu.lower import lower

        stored = graph.meta.get("timesteps")
        plan, weights = lower(graph, stored if isinstance(stored, int) else ctx.timesteps)
        if self.mode == "exact":
            from snnc_backends.cpu.exactness import exactness

            plan = replace(plan, longest=min(plan.longest, exactness(graph).window))
        return {PLAN: plan.to_json(), WEIGHTS: weights}

    def load(self, artifact: Artifact) -> CpuProgram:
        """Check the plan, then compile its kernels or read them from the user's cache."""
        from snnc.native.cache import open_cache
        from snnc_backends.cpu.program import load

        plan, weights = artifact.read(PLAN), artifact.array(WEIGHTS)
        return load(plan, weights, self.threads, open_cache(), self._processor())

    def _processor(self) -> Host:
        """The processor, with the instructions that are used. Raises `UsageError`."""
        from snnc.native.jit import host

        try:
            return host(self.features)
        except ValueError as error:
            raise UsageError(f"features={self.features}: {error}") from None

    def plan_rows(self, artifact: Artifact) -> list[dict[str, Any]]:
        """The kernels that this processor takes, with buffers, expected times and threads."""
        from snnc_backends.cpu.plan_rows import plan_rows
        from snnc_backends.cpu.program import checked_plan, threads_for

        plan, _ = checked_plan(artifact.read(PLAN), artifact.array(WEIGHTS))
        plan = plan.on(self._processor().machine)
        return plan_rows(plan, artifact.graph(), threads_for(self.threads))

    def require_match(self, program: CpuProgram, artifact: Artifact) -> None:
        """Raise `ArtifactError` unless the plan of a program can be one of the stored graph.

        The graph is not read again if it was found to match before.
        """
        from snnc.native.cache import open_cache
        from snnc_backends.cpu.compared import comparison_key

        cache = open_cache(warn=False)
        key = None if cache is None else comparison_key(program.plan, artifact, self.mode)
        if cache is not None and key is not None and cache.get(key) is not None:
            return
        from snnc_backends.cpu.match import require_exact, require_match

        graph = artifact.graph()
        require_match(program.plan, graph)
        if self.mode == "exact":
            require_exact(program.plan, graph)
        if cache is not None and key is not None:
            cache.put(key, b"")
