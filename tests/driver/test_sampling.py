"""`compile --sample`: inputs with what they give, which `verify` compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import ArtifactContent, open_artifact, write_content
from snnc.driver import verify_artifact
from snnc.errors import CheckFailed, DataError, UsageError
from snnc.testing import Style, build, sample_inputs

TARGETS = ["cpu", "crossbar{rows=32 cols=40}", "reference"]
POISSON = "fold-batchnorm,lower-avgpool,activations-to-neurons{encode=poisson},threshold-balance"


def compiled(**options: Any) -> snnc.Compiled:
    """A small network in integers."""
    graph = build("plain", Style.ANN)
    given = {"recipe": "convert{bits=8}", "calibration": sample_inputs(graph, 24), "target": "cpu"}
    return snnc.compile(graph, **{**given, **options})


def changed(content: ArtifactContent, path: Path) -> Path:
    """The artifact with one stored count and one stored readout changed."""
    assert content.samples is not None and content.samples.readout is not None
    counts = {name: array.copy() for name, array in content.samples.counts.items()}
    counts["act1"][0, 0, 0, 0] += 3
    readout = content.samples.readout.copy()
    readout[1, 0] -= 1
    samples = replace(content.samples, counts=counts, readout=readout)
    write_content(path, replace(content, samples=samples))
    return path


@pytest.mark.parametrize("target", TARGETS)
def test_verify_compares_with_the_stored_integers(target: str, tmp_path: Path) -> None:
    made = compiled(target=target, sample=3, output=tmp_path / "a.snnc")
    assert made.report["stored_samples"] == 3
    found = verify_artifact(tmp_path / "a.snnc")
    elements = sum(a[0].size for a in made.content.samples.counts.values())  # type: ignore[union-attr]
    assert found.equal and found.inputs == "stored" and found.samples == 3
    assert found.compared["stored_spikes"] == 3 * 8 * elements
    assert found.compared["stored_readouts"] == 3 * 5
    assert found.compared["spikes"] == found.compared["stored_spikes"]


def test_stored_integers_that_differ_fail_the_check(tmp_path: Path) -> None:
    path = changed(compiled(sample=3).content, tmp_path / "a.snnc")
    found = verify_artifact(path)
    assert found.differing["stored_spikes"] == 3 and found.differing["stored_readouts"] == 1
    assert not found.passed and found.verdict == "differs" and found.differing["spikes"] == 0
    with pytest.raises(CheckFailed, match="^4 values differ from those stored in the artifact$"):
        found.require()
    assert verify_artifact(path, timesteps=4).equal, "stored for another window"
    assert verify_artifact(path, seed=1).equal, "stored for another seed"
    assert verify_artifact(path, data=np.zeros((2, 2, 6, 6), np.float32)).inputs == "data"
    assert verify_artifact(path, limit=1).differing["stored_readouts"] == 0


def test_a_seed_and_random_spikes_are_stored(tmp_path: Path) -> None:
    passes = f"{POISSON},fold-scale,quantize{{bits=8}}"
    compiled(recipe=None, passes=passes, sample="4", seed=2**64 + 5, output=tmp_path / "a.snnc")
    found = verify_artifact(tmp_path / "a.snnc")
    assert found.equal and found.seed == 5 and found.compared["stored_readouts"] == 20


def test_real_values_are_compared_within_the_tolerance(tmp_path: Path) -> None:
    compiled(recipe="convert", sample=4, output=tmp_path / "a.snnc")
    found = verify_artifact(tmp_path / "a.snnc")
    assert found.passed and found.compared["stored_readouts"] == 0
    content = compiled(recipe="convert", sample=4).content
    assert content.samples is not None
    off = {name: counts + np.uint32(1) for name, counts in content.samples.counts.items()}
    samples = replace(content.samples, counts=off)
    write_content(tmp_path / "b.snnc", replace(content, samples=samples))
    wrong = verify_artifact(tmp_path / "b.snnc")
    assert not wrong.passed and wrong.rate == pytest.approx(1 / 8, rel=0.1)


def test_given_data_or_random_inputs_are_stored(tmp_path: Path) -> None:
    x = sample_inputs(build("plain", Style.ANN), 5, seed=9)
    np.save(tmp_path / "x.npy", x)
    text = compiled(sample=f"{tmp_path / 'x.npy'}[:2]").content.samples
    array = compiled(sample=x[:2]).content.samples
    assert text is not None and array is not None and len(text) == 2
    np.testing.assert_array_equal(text.x, array.x)
    spiking = build("plain", Style.QUANTIZED)
    drawn = snnc.compile(spiking, passes="", target="reference", sample=2).content.samples
    assert drawn is not None and drawn.x.min() >= 0 and len(drawn) == 2


def test_the_same_call_stores_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compiled(sample=2, output=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert open_artifact(tmp_path / "a").manifest["version"] == "2.1"


@pytest.mark.parametrize(
    ("sample", "kind", "said"),
    [
        (0, UsageError, "--sample 0: at least one"),
        ("-1", UsageError, "--sample -1: at least one"),
        (25, DataError, "--sample 25: the calibration data has 24 samples"),
        ("none.npz", DataError, "sample: .*none.npz"),
        (np.zeros((2, 3, 6, 6), np.float32), DataError, r"sample: .*\(3, 6, 6\)"),
    ],
    ids=str,
)
def test_wrong_samples_are_refused_before_the_passes(
    sample: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        compiled(sample=sample)
