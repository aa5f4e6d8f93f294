"""Framework-independent construction of a graph of stage `ann` from operations and numpy arrays.

A frontend creates an `Importer` and calls one of the functions below for each operation of its
format. The frontend interprets the attributes of the format; this package creates the nodes.
"""

from snnc.frontends.importing.activations import (
    clip,
    floor,
    leaky_relu,
    maximum,
    relu,
    round_half_even,
)
from snnc.frontends.importing.arithmetic import exponential, logarithm, scale
from snnc.frontends.importing.importer import Imported, Importer
from snnc.frontends.importing.layers import (
    batch_norm,
    check_spatial,
    conv,
    linear,
    pointwise,
    transposed_conv,
)
from snnc.frontends.importing.pooling import (
    adaptive_average_pool,
    adaptive_max_pool,
    add,
    average_pool,
    largest_over,
    max_pool,
    reduce_over,
    sum_pool,
)
from snnc.frontends.importing.rearrange import (
    Mode,
    choose,
    concat,
    pad,
    pad_with_elements,
    permute,
    regroup,
    repeat,
    reshape,
    roll,
    take,
)
from snnc.frontends.importing.site import (
    FINE_TUNE,
    Constant,
    ConstantStore,
    ImportSite,
    RefusedError,
    Value,
    need_value,
)
from snnc.frontends.importing.softmax import DroppedSoftmax
from snnc.frontends.importing.windows import Pairs

__all__ = [
    "FINE_TUNE",
    "Constant",
    "ConstantStore",
    "DroppedSoftmax",
    "ImportSite",
    "Imported",
    "Importer",
    "Mode",
    "Pairs",
    "RefusedError",
    "Value",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "add",
    "average_pool",
    "batch_norm",
    "check_spatial",
    "choose",
    "clip",
    "concat",
    "conv",
    "exponential",
    "floor",
    "largest_over",
    "leaky_relu",
    "linear",
    "logarithm",
    "max_pool",
    "maximum",
    "need_value",
    "pad",
    "pad_with_elements",
    "permute",
    "pointwise",
    "reduce_over",
    "relu",
    "regroup",
    "repeat",
    "reshape",
    "roll",
    "round_half_even",
    "scale",
    "sum_pool",
    "take",
    "transposed_conv",
]
