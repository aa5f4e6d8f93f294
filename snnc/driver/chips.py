"""Programs of an artifact on other chips than the one it was compiled for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from snnc.analysis import Evaluation, over_chips
from snnc.artifact import ArtifactFile
from snnc.driver.threads import with_threads
from snnc.errors import UsageError
from snnc.pipeline import parse_one, variations
from snnc.plugins import BACKENDS, Registry
from snnc.target import Backend, LateOptions, Program


def own_backend(artifact: ArtifactFile, threads: int | None) -> Backend:
    """What an artifact was compiled for."""
    return with_threads(parse_one(artifact.manifest["target"], Registry(BACKENDS)), threads)


def chips(artifact: ArtifactFile, backend: Any, count: int | None) -> Iterator[Program]:
    """Programs of `count` chips that differ in their errors; None for the one of `backend`.

    Raises `UsageError` if all chips of the backend are equal.
    """
    if count is None:
        return iter([backend.load(artifact)])
    if count < 1:
        raise UsageError(f"--chips {count}: there is at least one chip")
    if "chip_seed" not in {each.name for each in fields(backend)}:
        raise UsageError(
            f"--chips: the target {backend.name} has no chip-seed, all its chips are equal",
            hint="crossbar{device=gaussian{sigma=0.05}}, say",
        )
    return (replace(backend, chip_seed=backend.chip_seed + i).load(artifact) for i in range(count))


def one_figure(evaluations: Iterable[Evaluation], count: int | None) -> Evaluation:
    """The evaluation of one program, where `count` is None, or means over chips."""
    found = list(evaluations)
    return found[0] if count is None else over_chips(found)


@dataclass(frozen=True)
class Variation:
    """An artifact on targets that differ in one option.

    Attributes:
        option: as it is written in a target.
        backends: by the text of its value.
        count: how many chips each is measured on, as of `chips`.
    """

    artifact: ArtifactFile
    option: str
    backends: Mapping[str, Backend]
    count: int | None

    @classmethod
    def of(
        cls, artifact: ArtifactFile, backend: Backend, text: str | None, count: int | None
    ) -> Variation:
        """The variation that `text` describes, `option=[value value ...]`; none for None.

        Raises:
            UsageError: a text that cannot be read, or an option that artifacts depend on.
        """
        if text is None:
            return cls(artifact, "", {}, count)
        name, backends = variations(backend, text, Registry(BACKENDS))
        option = name.replace("_", "-")
        late = backend.late_options if isinstance(backend, LateOptions) else ()
        if name not in late:
            allowed = ", ".join(each.replace("_", "-") for each in late)
            raise UsageError(
                f"--vary: what is compiled for {backend.name} runs with its own {option} only",
                hint=f"vary one of: {allowed}" if late else "compile it again",
            )
        return cls(artifact, option, backends, count)

    def figures(self, judged: Callable[[Program], Evaluation]) -> dict[str, Any]:
        """Under `varied` the figures of the whole window by value, keys as in docs/report.md."""
        if not self.backends:
            return {}
        rows: list[dict[str, Any]] = []
        for value, backend in self.backends.items():
            programs = chips(self.artifact, backend, self.count)
            found = one_figure(map(judged, programs), self.count)
            rows.append({"value": value, **found.of_window(found.windows[-1])})
        return {"varied": {"option": self.option, "values": rows}}
