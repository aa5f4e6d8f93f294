"""Reasons and remedies for ONNX operations that cannot be compiled."""

from __future__ import annotations

from snnc.frontends.importing import FINE_TUNE, RefusedError
from snnc.frontends.importing.names import shown

_CURVE = "a neuron's rate follows max(x, 0) up to a bound, not this curve"
_REPLACE = f"put Relu or Clip(0, b) in its place and {FINE_TUNE}"
_TABLE: tuple[tuple[str, str, str], ...] = (
    ("Gelu HardSwish Mish Elu Selu Celu Softplus Softsign ThresholdedRelu Swish Erf Shrink "
     "HardSigmoid", _CURVE, _REPLACE),
    ("Sigmoid Tanh", "a neuron's rate follows max(x, 0) up to a bound; only on an output is this "
     "kept, as the function of the output", _REPLACE),
    ("LayerNormalization GroupNormalization InstanceNormalization LRN LpNormalization "
     "RMSNormalization MeanVarianceNormalization",
     "it divides by statistics of each sample, which spikes do not have",
     "put BatchNorm in its place, and train the network again"),
    ("Attention", "attention multiplies activations with each other, and a neuron only sums "
     "them", "use convolutions"),
    ("LSTM GRU RNN", "recurrent layers need a sequence as input", "use a feed-forward network"),
    ("Einsum", "it multiplies activations with each other, or has no layer of its own",
     "use Gemm"),
    ("ArgMax ArgMin TopK", "it compares activations", "return the logits"),
    ("Where Equal Less Greater LessOrEqual GreaterOrEqual ReduceMin NonMaxSuppression Hardmax "
     "MaxUnpool", "it compares activations", "use MaxPool, or Relu"),
    ("If Loop Scan", "control flow depends on values", "export the model without it"),
    ("Bernoulli RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial",
     "it is random when the network is used", "export the model in eval mode"),
    ("QLinearConv QLinearMatMul ConvInteger MatMulInteger DynamicQuantizeLinear QLinearAdd "
     "QLinearMul QGemm QLinearAveragePool QLinearGlobalAveragePool QLinearConcat "
     "QLinearLeakyRelu QLinearSigmoid",
     "it computes with integers of its own (the QOperator format)",
     "quantise to QDQ, or give the model before it was quantised"),
    ("FusedConv FusedMatMul FusedGemm NhwcMaxPool", "onnxruntime has fused it for itself",
     "give the model before it was optimised"),
    ("Pow Sqrt Abs Reciprocal Sign Ceil Mod Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh "
     "Atanh BitShift Det", "it is not linear, and no ReLU", "train with ReLU"),
    ("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceProd ReduceSumSquare LpPool "
     "GlobalLpPool", "it is no mean, sum or maximum", "use AveragePool or MaxPool"),
    ("CumSum", "it sums along an axis what a layer weights", "use Conv or Gemm"),
    ("GatherND GatherElements ScatterND ScatterElements OneHot NonZero Compress Unique",
     "it looks elements up, or puts them where others were", "use Slice and Concat"),
    ("GridSample RoiAlign MaxRoiPool AffineGrid DeformConv",
     "its positions depend on the input, or it mixes neighbours", "use Resize and Conv"),
    ("Not And Or Xor IsNaN IsInf", "it is logic, not arithmetic", "leave it out"),
)  # fmt: skip
_REASONS = {name: (reason, remedy) for names, reason, remedy in _TABLE for name in names.split()}

_KEEP_SHAPE_NAMES = (
    "Gelu HardSwish Mish Elu Selu Celu Softplus Softsign ThresholdedRelu Swish Erf Shrink "
    "Sigmoid Tanh HardSigmoid LayerNormalization GroupNormalization InstanceNormalization LRN "
    "LpNormalization RMSNormalization MeanVarianceNormalization Min Max Pow Sqrt Abs "
    "Reciprocal Clip LeakyRelu PRelu Softmax LogSoftmax Mul Div Exp Log"
)
KEEP_SHAPE = frozenset(_KEEP_SHAPE_NAMES.split())
"""Operations whose result has the shape of their input."""


def refusal(op_type: str, domain: str = "") -> RefusedError:
    """The reason and the remedy for an operation without a converter."""
    if op_type in _REASONS:
        return RefusedError(*_REASONS[op_type])
    if domain:
        return RefusedError(
            f"it is of the domain {shown(domain)}, not a standard operation",
            "export the model with standard operations",
        )
    return RefusedError(
        "snnc does not know this operation", "build it of the operations snnc knows"
    )
