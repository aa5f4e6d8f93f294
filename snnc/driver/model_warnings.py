"""Warnings about a model and its data: logged, and kept for the report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snnc.artifact import ArtifactFile
from snnc.input_range import InputRange, InputTally, leaves
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline
from snnc.plugins import PASSES, Registry
from snnc.transform import Batch, Batches, Pass, PassContext, size_of

if TYPE_CHECKING:
    from snnc.analysis.diagnosis import Finding
    from snnc.analysis.diagnosis.model_check import ModelCheck

INPUT_RANGE = "input_range"
"""Key of an artifact's info: the range of its calibration data, as `InputRange.report` gives it."""


def warn_of_model(model: Graph, ctx: PassContext, passes: Iterable[Pass]) -> ModelCheck:
    """Log what is suspicious about a model and its calibration data; nothing at stage `snn`.

    Args:
        passes: those to run; the number of samples matters to those that fit a network to them.
    """
    from snnc.analysis.diagnosis.model_check import ModelCheck, about_count, check_model

    if model.stage is not Stage.ANN:
        return ModelCheck(())
    data = ctx.calibration
    checked = check_model(model, data, None if data is None else size_of(data))
    if any("calibration" in each.requirements() for each in passes):
        few = about_count(checked.samples, model.input)
        checked = replace(checked, findings=(*checked.findings, *few))
    log_findings(checked.findings, ctx.log)
    return checked


def about_compared(model: Graph, ann: Graph, snn: Graph) -> tuple[Finding, ...]:
    """The finding about a model if it is not the one that a network was made from.

    Args:
        model: as loaded.
        ann: the same with batch norms folded as in the network.
    """
    from snnc.analysis.diagnosis.model_check import about_weights
    from snnc.analysis.diagnosis.other_model import about_origin

    return tuple(about_weights(model)) or tuple(about_origin(ann, snn))


def about_window(artifact: ArtifactFile, timesteps: int) -> tuple[Finding, ...]:
    """The finding about a window longer than the one that passes fitted a network for."""
    fitted = artifact.manifest["timesteps"]
    if fitted is None or timesteps <= fitted:
        return ()
    passes = Pipeline.from_text(artifact.manifest.get("pipeline") or "", Registry(PASSES)).passes
    if not any(map(fits_data, passes)):
        return ()
    from snnc.analysis.diagnosis.remedies import remedy
    from snnc.analysis.diagnosis.result import Cause, Finding

    text = f"The network was fitted for T={fitted}, and runs for {timesteps} steps."
    evidence = {"fitted": fitted, "timesteps": timesteps}
    cause, node = Cause.BEYOND_WINDOW, artifact.graph().outputs[0]
    return (Finding(node, node, cause, "note", evidence, text, remedy(cause)),)


def fits_data(each: Pass) -> bool:
    """Whether a pass fits a network to data."""
    return bool(each.requirements() & {"calibration", "train"})


def calibrated_on(checked: ModelCheck) -> dict[str, Any]:
    """What an artifact's info says of the range of its calibration data; {} without such data."""
    return {} if checked.inputs is None else {INPUT_RANGE: checked.inputs.report()}


class WatchedInputs:
    """Data that an artifact is run on, compared with the range of its calibration data.

    Args:
        artifact: without such a range (no calibration data, or an older file) nothing is compared.
        layer: name of the input in findings.
    """

    def __init__(self, artifact: ArtifactFile, layer: str) -> None:
        self._calibrated = InputRange.parse(artifact.manifest["info"].get(INPUT_RANGE))
        self._seen = InputTally(self._calibrated)
        self._layer = layer

    def watch(self, data: Batches) -> Iterator[Batch]:
        """The batches of `data`, each of them looked at; to be gone through once."""
        for x, y in data:
            if self._calibrated is not None:
                self._seen.add(x)
            yield x, y

    def findings_of(self, data: Batches = ()) -> tuple[Finding, ...]:
        """The finding about `data` and all batches that were watched; none if they fit."""
        if self._calibrated is None:
            return ()
        for x, _ in data:
            self._seen.add(x)
        if not leaves(self._calibrated, self._seen):
            return ()
        from snnc.analysis.diagnosis.model_check import about_range

        return tuple(about_range(self._calibrated, self._seen, self._layer))

    def warn(self, log: logging.Logger | None) -> tuple[Finding, ...]:
        """The finding about all batches that were watched, logged."""
        found = self.findings_of()
        log_findings(found, log)
        return found


def in_report(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The key `warnings` of a report."""
    return [finding.report() for finding in findings]


def log_findings(findings: Iterable[Finding], log: logging.Logger | None) -> None:
    """Each finding with its remedy as a warning."""
    log = logging.getLogger("snnc") if log is None else log
    for finding in findings:
        log.warning("%s Try: %s", finding.text, finding.remedy)
