"""The reference that windows and margins of a spiking classifier are chosen by."""

from __future__ import annotations

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.transform import Batches, PassContext
from snnc_passes._reference import (
    Reference,
    class_count,
    class_labels,
    label_kind,
    network_outputs,
)


def classifier_reference(graph: Graph, ctx: PassContext, samples: int) -> Reference:
    """Labels of the validation data, else of the calibration data, else predictions of the ANN.

    Args:
        samples: maximum number of samples.

    Raises:
        PassError: there are no data, neither labels nor an ANN, or the outputs are no classes.
    """
    classes = class_count(
        graph,
        "only one number for each of several classes has a largest one",
        hint="for other outputs choose -T by the error that snnc eval reports",
    )
    data = _data(ctx)
    labels = class_labels(data, samples, classes)
    if ctx.ann is not None:
        count = samples if labels is None else len(labels)
        return Reference(data, labels, network_outputs(ctx.ann, data, count, ctx))
    if labels is None:
        raise PassError(
            "the data has no labels, and there is no ANN to agree with",
            hint="add --validation DATA with labels, or start from the model",
        )
    return Reference(data, labels, None)


def _data(ctx: PassContext) -> Batches:
    """Validation, else calibration data; those with class numbers before those without."""
    given = [data for data in (ctx.validation, ctx.calibration) if data is not None]
    if not given:
        raise PassError("needs validation or calibration data", hint="add --validation DATA")
    kinds = [label_kind(data) for data in given]
    labelled = [data for data, kind in zip(given, kinds, strict=True) if kind in ("i", "u")]
    if not labelled and kinds[0] == "f":
        raise PassError("the labels are real numbers; a budget in points is for classes")
    return (labelled or given)[0]
