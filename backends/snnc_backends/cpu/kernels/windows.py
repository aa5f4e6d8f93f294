"""Windows of an image: what convolutions and linear layers look at."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import Kernel, Port, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code


@dataclass(frozen=True, kw_only=True)
class Windows(Kernel):
    """Base of kernels that look, at each output position, at the pixels of a window.

    The image is (height, width, channels); tap (kh, kw) of output position (y, x) is the pixel
    (y * stride_h + kh * dilation_h - pad_top, x * stride_w + kw * dilation_w - pad_left), or
    nothing outside of the image. A linear layer is an image of one pixel, and one tap.

    Attributes:
        source: type of the image.
        constant: the image is the same in all steps.
    """

    source: str
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    constant: bool

    def __post_init__(self) -> None:
        one_of("source", self.source, ("i8", "i32", "f32", "f64"))
        positive(height=self.height, width=self.width, channels=self.channels)
        positive(out_height=self.out_height, out_width=self.out_width)
        positive(kernel_h=self.kernel_h, kernel_w=self.kernel_w)
        positive(stride_h=self.stride_h, stride_w=self.stride_w)
        positive(dilation_h=self.dilation_h, dilation_w=self.dilation_w)
        require(self.pad_top >= 0 and self.pad_left >= 0, "negative padding")

    @property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.kernel_h * self.kernel_w

    @property
    def inside_share(self) -> float:
        """The share of taps that are inside the image, over all output positions."""
        down = (self.kernel_h, self.dilation_h, self.pad_top, self.stride_h)
        across = (self.kernel_w, self.dilation_w, self.pad_left, self.stride_w)
        rows = _share(*down, self.height, self.out_height)
        return rows * _share(*across, self.width, self.out_width)

    @property
    def image(self) -> Port:
        """The input that windows are of."""
        return Port(self.source, self.height * self.width * self.channels, self.constant)

    def inputs(self) -> tuple[Port, ...]:
        return (self.image,)

    def position(self, code: Code, number: Value) -> tuple[Value, Value]:
        """Row and column of an output position, which are counted row by row."""
        width = code.int(self.out_width)
        return code.builder.udiv(number, width), code.builder.urem(number, width)

    def rows_under(self, code: Code, begin: Value, end: Value) -> tuple[Value, Value]:
        """The range of rows of the image that the output positions begin .. end - 1 look at."""
        first, _ = self.position(code, begin)
        last, _ = self.position(code, code.index(end, -1))
        stop = code.index(self.row(code, last, code.int(self.kernel_h - 1)), 1)
        first = self.row(code, first, code.int(0))
        return code.clamp(first, 0, self.height), code.clamp(stop, 0, self.height)

    def row(self, code: Code, y: Value, kh: Value) -> Value:
        """The row of a tap in the image; see `inside`."""
        return code.index((y, self.stride_h), (kh, self.dilation_h), -self.pad_top)

    def column(self, code: Code, x: Value, kw: Value) -> Value:
        """The column of a tap in the image; see `inside`."""
        return code.index((x, self.stride_w), (kw, self.dilation_w), -self.pad_left)

    def inside(self, code: Code, place: Value, size: int) -> Value:
        """Whether a row or column is in an image of `size` rows or columns; -1 is not."""
        return code.builder.icmp_unsigned("<", place, code.int(size))


def _share(kernel: int, dilation: int, pad: int, stride: int, size: int, outputs: int) -> float:
    """The share of the taps of all outputs of an axis that are inside an image of `size`."""
    inside = 0
    for tap in range(kernel):
        least = pad - tap * dilation  # of output * stride, to be in the image
        first = max(0, -(-least // stride))
        last = min(outputs - 1, (least + size - 1) // stride)
        inside += max(0, last - first + 1)
    return inside / (kernel * outputs)
