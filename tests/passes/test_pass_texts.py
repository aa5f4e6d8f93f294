"""What the passes that need no training make of small graphs, as text before and after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from snnc.testing import assert_pass_golden
from snnc.testing.golden import Golden
from snnc.transform import Pass, PassContext
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm
from snnc_passes.fold.fold_normalization import FoldNormalization
from snnc_passes.fold.fold_scale import FoldScale
from snnc_passes.lower.activations_to_neurons import ActivationsToNeurons
from snnc_passes.lower.drop_state import DropState
from snnc_passes.lower.linear_bottlenecks import LinearBottlenecks
from snnc_passes.lower.lower_avgpool import LowerAvgpool
from snnc_passes.lower.lower_maxpool import LowerMaxpool
from snnc_passes.lower.replace_maxpool import ReplaceMaxpool
from snnc_passes.lower.split_sums import SplitSums
from snnc_passes.quantize.quantize import Quantize
from snnc_passes.threshold.initialize_potential import InitializePotential

BATCHNORM = """graph ann {
  %x = ann.input() {shape=(1, 2, 2)} : analog<1x2x2>
  %conv = ann.conv(%x) {weight=@w} : analog<2x2x2>
  %bn = ann.batchnorm(%conv) {mean=@mean, variance=@variance, bias=@beta, eps=0.0} : analog<2x2x2>
  %act = ann.relu(%bn) : analog<2x2x2>
  return %act
  @w = float32<2x1x1x1> [1.0, 2.0]
  @mean = float32<2> [0.5, 1.0]
  @variance = float32<2> [4.0, 0.25]
  @beta = float32<2> [0.0, 1.0]
}
"""
SHARED = """graph ann {
  %x = ann.input() {shape=(2)} : analog<2>
  %fc = ann.linear(%x) {weight=@w} : analog<2>
  %bn = ann.batchnorm(%fc) {mean=@mean, variance=@variance, eps=0.0} : analog<2>
  %sum = ann.add(%bn, %fc) : analog<2>
  return %sum
  @w = float32<2x2> [1.0, 0.0, 0.0, 1.0]
  @mean = float32<2> [0.5, 1.0]
  @variance = float32<2> [4.0, 0.25]
}
"""
NORMALIZED = """graph ann {
  %x = ann.input() {shape=(1, 3)} : analog<1x3>
  %normalize = ann.scale(%x) {factor=2.0, bias=@shift} : analog<1x3>
  %conv = ann.conv(%normalize) {weight=@w, stride=(1), padding=((PAD, PAD)), dilation=(1)}
  return %conv
  @shift = float32<1> -1.0
  @w = float32<1x1x3> [1.0, 2.0, 3.0]
}
"""
SCALED = """graph snn {
  %x = snn.input() {shape=(2, 2, 2)} : analog<2x2x2>
  %encode = snn.encode-direct(%x) : current<2x2x2 constant>
  %act = snn.neuron(%encode) : spike<2x2x2>
  %scale = snn.scale(%act) {factor=@gain} : current<2x2x2>
  %flat = snn.reshape(%scale) {shape=(8)} : current<8>
  %fc = snn.linear(%flat) {weight=@w} : current<1>
  %readout = snn.readout(%fc) : current<1>
  return %readout
  @gain = float32<2> [2.0, 0.5]
  @w = float32<1x8> [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
}
"""
SHORTCUT = """graph snn {
  %x = snn.input() {shape=(2)} : analog<2>
  %encode = snn.encode-direct(%x) : current<2 constant>
  %act = snn.neuron(%encode) : spike<2>
  %scale = snn.scale(%act) {factor=2.0} : current<2>
  %fc = snn.linear(%scale) {weight=@w} : current<2>
  %sum = snn.add(%fc, %scale) : current<2>
  %readout = snn.readout(%sum) : current<2>
  return %readout
  @w = float32<2x2> [1.0, 2.0, 3.0, 4.0]
}
"""
AVERAGED = """graph ann {
  %x = ann.input() {shape=(1, 4)} : analog<1x4>
  %act = ann.relu(%x) : analog<1x4>
  %pool = ann.avgpool(%act) {kernel=(2), stride=(2), divisors=((2, 2))} : analog<1x2>
  return %pool
}
"""
UNEVEN = """graph ann {
  %x = ann.input() {shape=(1, 5)} : analog<1x5>
  %pool = ann.avgpool(%x) {windows=(((0, 2), (2, 5))), divisors=((2, 3))} : analog<1x2>
  return %pool
}
"""
MAXIMUM = """graph ann {
  %x = ann.input() {shape=(1, 4)} : analog<1x4>
  %conv = ann.conv(%x) {weight=@w, stride=(1), padding=((0, 0)), dilation=(1)} : analog<1x4>
  %pool = ann.maxpool(%conv) {kernel=(2), stride=(2)} : analog<1x2>
  %act = ann.relu(%pool) : analog<1x2>
  return %act
  @w = float32<1x1x1> 1.0
}
"""
RESIDUAL = """graph ann {
  %x = ann.input() {shape=(2)} : analog<2>
  %act1 = ann.relu(%x) : analog<2>
  %fc = ann.linear(%act1) {weight=@w} : analog<2>
  %sum = ann.add(%fc, %act1) : analog<2>
  %act2 = ann.relu(%sum) : analog<2>
  %idle = ann.relu(%act2) : analog<2>
  return %idle
  @w = float32<2x2> [1.0, 2.0, 3.0, 4.0]
}
"""
NEURONS = """graph snn {
  meta timesteps = 1
  %x = snn.input() {shape=(2)} : analog<2>
  %encode = snn.encode-direct(%x) : current<2 constant>
  %act1 = snn.neuron(%encode) {threshold=@t, leak=0.5, v_init=1.0} : spike<2>
  %fc = snn.linear(%act1) {weight=@w, bias=@b} : current<2>
  %act2 = snn.neuron(%fc) {threshold=3.0, reset=zero} : spike<2>
  %readout = snn.readout(%act2) : current<2>
  return %readout
  @t = float32<2> [1.0, 4.0]
  @w = float32<2x2> [1.0, 0.5, -1.0, 0.25]
  @b = float32<2> [0.5, 0.0]
}
"""
LEAKY = """graph ann {
  %input = ann.input() {shape=(2)} : analog<2>
  %fc1 = ann.linear(%input) {weight=@w, bias=@b} : analog<2>
  %act.positive = ann.relu(%fc1) {upper=6.0} : analog<2>
  %act.mirrored = ann.scale(%fc1) {factor=-1.0} : analog<2>
  %act.negative = ann.relu(%act.mirrored) : analog<2>
  %act.slope = ann.scale(%act.negative) {factor=-0.25} : analog<2>
  %act = ann.add(%act.positive, %act.slope) : analog<2>
  %fc2 = ann.linear(%act) {weight=@w, bias=@b} : analog<2>
  return %fc2
  @w = float32<2x2> [1.0, 0.5, -1.0, 0.25]
  @b = float32<2> [0.5, 0.0]
}
"""
BOUNDED = """graph ann {
  %input = ann.input() {shape=(2)} : analog<2>
  %fc1 = ann.linear(%input) {weight=@w} : analog<2>
  %low = ann.relu(%fc1) {upper=0.5} : analog<2>
  %fc2 = ann.linear(%low) {weight=@w} : analog<2>
  %per-channel = ann.relu(%fc2) {upper=@u} : analog<2>
  %fc3 = ann.linear(%per-channel) {weight=@w} : analog<2>
  %rounded = ann.relu(%fc3) {upper=2.0, levels=4} : analog<2>
  %fc4 = ann.linear(%rounded) {weight=@w} : analog<2>
  return %fc4
  @w = float32<2x2> [1.0, 0.5, -1.0, 0.25]
  @u = float32<2> [4.0, 6.0]
}
"""
BOTTLENECKS = """graph ann {
  %x = ann.input() {shape=(1, 2, 2)} : analog<1x2x2>
  %first = ann.conv(%x) {weight=@w} : analog<2x2x2>
  %act = ann.relu(%first) : analog<2x2x2>
  %project = ann.conv(%act) {weight=@p, bias=@b} : analog<1x2x2>
  %expand = ann.conv(%project) {weight=@w} : analog<2x2x2>
  %act2 = ann.relu(%expand) : analog<2x2x2>
  %project2 = ann.conv(%act2) {weight=@p, bias=@b} : analog<1x2x2>
  %add = ann.add(%project, %project2) : analog<1x2x2>
  %flat = ann.reshape(%add) {shape=(4)} : analog<4>
  %fc1 = ann.linear(%flat) {weight=@l, bias=@c} : analog<2>
  %fc2 = ann.linear(%fc1) {weight=@m} : analog<1>
  return %fc2
  @w = float32<2x1x1x1> [1.0, 2.0]
  @p = float32<1x2x1x1> [1.0, -1.0]
  @b = float32<1> 0.5
  @c = float32<2> [0.5, -0.5]
  @l = float32<2x4> [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
  @m = float32<1x2> [1.0, 3.0]
}
"""
CASES: Mapping[str, tuple[Pass, str]] = {
    "fold-batchnorm": (FoldBatchnorm(), BATCHNORM),
    "fold-batchnorm-shared": (FoldBatchnorm(), SHARED),
    "fold-normalization": (FoldNormalization(), NORMALIZED.replace("PAD", "1")),
    "fold-normalization-unpadded": (
        FoldNormalization(),
        NORMALIZED.replace("PAD", "0"),
    ),
    "fold-scale": (FoldScale(), SCALED),
    "fold-scale-shortcut": (FoldScale(), SHORTCUT),
    "lower-avgpool": (LowerAvgpool(), AVERAGED),
    "lower-avgpool-uneven": (LowerAvgpool(), UNEVEN),
    "replace-maxpool": (ReplaceMaxpool(), MAXIMUM),
    "lower-maxpool": (LowerMaxpool(), MAXIMUM),
    "activations-to-neurons": (ActivationsToNeurons(), RESIDUAL),
    "activations-to-neurons-bounded": (ActivationsToNeurons(), BOUNDED),
    "split-sums": (SplitSums(), LEAKY),
    "linear-bottlenecks": (LinearBottlenecks(always=True), BOTTLENECKS),
    "linear-bottlenecks-real-values": (LinearBottlenecks(), BOTTLENECKS),
    "initialize-potential": (InitializePotential(fraction=0.25), NEURONS),
    "drop-state": (DropState(), NEURONS),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pass_rewrites_as_its_golden_text_says(name: str, golden: Golden) -> None:
    each, before = CASES[name]
    assert_pass_golden(each, before, golden, ctx=PassContext(timesteps=1))


def test_quantize_rounds_as_its_golden_text_says(golden: Golden) -> None:
    x = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    ctx = PassContext(timesteps=1, calibration=[(x, None)])
    before = NEURONS.replace(", leak=0.5", "")
    assert_pass_golden(Quantize(bits=4), before, golden, ctx=ctx)
