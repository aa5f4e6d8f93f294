"""Stored inputs: read back as written, checked against the graph, ignored by older readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from snnc.artifact import ArtifactContent, Samples, open_artifact, write_content
from snnc.artifact.layout import REQUIRED, SAMPLES
from snnc.errors import ArtifactError
from snnc.ir import Graph
from snnc.testing import Style, build, sample_inputs

Tensors = dict[str, np.ndarray[Any, Any]]


def samples(graph: Graph) -> Samples:
    """Two inputs with counts and readouts of the right form."""
    output = graph.type_of(graph.outputs[0])
    rng = np.random.default_rng(0)
    return Samples(
        x=sample_inputs(graph, 2),
        counts={"act1": rng.integers(0, 8, (2, *graph.type_of("act1").shape), np.uint32)},
        readout=rng.integers(-9, 9, (2, *output.shape)) if output.quantized else None,
        seed=2**64 - 1,
    )


def content(style: Style = Style.QUANTIZED) -> ArtifactContent:
    graph = build("plain", style)
    return ArtifactContent(network=graph, samples=samples(graph))


@pytest.mark.parametrize("style", [Style.SNN, Style.QUANTIZED])
def test_samples_are_read_back(style: Style, tmp_path: Path) -> None:
    written = content(style)
    write_content(tmp_path / "a.snnc", written)
    artifact = open_artifact(tmp_path / "a.snnc")
    artifact.check()
    found, given = artifact.samples(), written.samples
    assert found is not None and given is not None
    np.testing.assert_array_equal(found.x, given.x)
    np.testing.assert_array_equal(found.counts["act1"], given.counts["act1"])
    assert found.seed == given.seed and len(found) == 2
    assert (found.readout is None) == (style is Style.SNN)
    if given.readout is not None:
        np.testing.assert_array_equal(found.readout, given.readout)


def test_an_artifact_without_samples_has_the_members_it_had(tmp_path: Path) -> None:
    write_content(tmp_path / "a.snnc", ArtifactContent(network=build("plain", Style.QUANTIZED)))
    artifact = open_artifact(tmp_path / "a.snnc")
    assert artifact.names() == REQUIRED and artifact.samples() is None


def test_a_backend_may_not_write_the_member() -> None:
    graph = build("plain", Style.QUANTIZED)
    with pytest.raises(ArtifactError, match="may not write"):
        ArtifactContent(network=graph, files={SAMPLES: b""}).members()


def put(name: str, value: Any) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: value})


WRONG: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "no x": (lambda t: t.pop("x"), "no usable 'x'"),
    "x of another shape": (put("x", np.zeros((2, 1, 6, 6), np.float32)), "no usable 'x'"),
    "x in double": (put("x", np.zeros((2, 2, 6, 6))), "no usable 'x'"),
    "x scalar": (put("x", np.array(1, np.float32)), "no usable 'x'"),
    "x empty": (put("x", np.zeros((0, 2, 6, 6), np.float32)), "no samples, NaN or infinity"),
    "x NaN": (put("x", np.full((2, 2, 6, 6), np.nan, np.float32)), "NaN or infinity"),
    "no readout": (lambda t: t.pop("readout"), "no usable 'readout'"),
    "one readout": (put("readout", np.zeros((1, 5), np.int64)), "no usable 'readout'"),
    "real readout": (put("readout", np.zeros((2, 5), np.float64)), "no usable 'readout'"),
    "no such node": (put("counts/none", np.zeros((2, 4), np.uint32)), "no node 'none'"),
    "signed counts": (put("counts/act1", np.zeros((2, 4, 6, 6), np.int32)), "'counts/act1'"),
    "counts of one": (put("counts/act1", np.zeros((1, 4, 6, 6), np.uint32)), "'counts/act1'"),
    "no seed": (lambda t: t.pop("seed"), "no usable 'seed'"),
    "seeds": (put("seed", np.zeros(2, np.uint64)), "no usable 'seed'"),
    "more": (put("more", np.zeros(1)), "unknown tensor 'more'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_samples_that_do_not_fit_the_graph_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, reason = WRONG[name]
    written = content()
    assert written.samples is not None
    tensors = safetensors.numpy.load(written.samples.to_bytes())
    change(tensors)
    data = safetensors.numpy.save(tensors)
    monkeypatch.setattr(Samples, "to_bytes", lambda self: data)
    write_content(tmp_path / "a.snnc", written)
    with pytest.raises(ArtifactError) as caught:
        open_artifact(tmp_path / "a.snnc").samples()
    assert reason in caught.value.message and str(tmp_path) in caught.value.message


def test_a_member_that_is_no_safetensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Samples, "to_bytes", lambda self: b"junk" * 9)
    write_content(tmp_path / "a.snnc", content())
    with pytest.raises(ArtifactError, match="samples.safetensors is damaged"):
        open_artifact(tmp_path / "a.snnc").samples()
