"""Networks the frontend refuses. The comment `here` marks the line that is to be reported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Gelu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(2, 2, 3), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))  # here


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.squeeze(x.mean((2, 3)))
        weight = torch.sigmoid(weight)  # here
        return x * weight[:, :, None, None]  # here


class HardSwish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)  # here


class Silu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)  # here here


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, 0]
        return self.attention(x, x, x)[0]  # here


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm([6, 6])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x))  # here


class SoftmaxInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.softmax(self.fc(x.flatten(1)), dim=1)  # here
        return x * 2


class Upsampled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")  # here


class UnevenlyUpsampled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=1.5)  # here


class Product(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x  # here


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**2  # here


class BatchStack(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x, x])  # here


class BatchUnbind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unbind()[0]  # here


class CellInALoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for row in x[:, 0].unbind(1):
            state = self.cell(row, state)  # here
        return state[0]


class TwoSidedBounds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Hardtanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x) + x.clamp(0.5, 6)  # here here


class BoundOfCurrent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(x, torch.tensor(6.0))  # here


class NegativeBound(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, -1)  # here


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.floor(F.relu(x))  # here


class RoundedDown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.floor(x.clamp(0, 1) * 4)  # here


class BatchMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)  # here


class BatchSlice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[1:]  # here


class BatchPermute(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(1, 0, 2, 3)  # here


class BatchCat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], 0)  # here


class BatchFlatten(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 36)  # here


class BatchFactor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.size(0)  # here


class ActiveDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)  # here


class Indices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)  # here


class CroppedReflection(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (1, -1, 0, 0), mode="reflect")  # here


class LeftProduct(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(6) @ x  # here


class ActivationProduct(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.transpose(2, 3)  # here


class VectorProduct(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ torch.ones(72)  # here


class NoStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(2, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x)  # here


class LinearAtThreeAxes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.unsqueeze(1))  # here


class Overwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu, self.conv = nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.relu(y) + y  # here


class Integers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.int32)  # here


class Smaller(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(x, 0.1 * x)  # here


class WhereLargest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.max(1)[-1]  # here


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, 1).exp()  # here


class Dictionary(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": x.relu()}  # here


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(36, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.flatten(2))[0]  # here


class GatherIndex(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, [1, 0]]  # here


class ConstantCat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.zeros = nn.Parameter(torch.zeros(1, 2, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.zeros.expand(x.size(0), -1, -1, -1)], 1)  # here


class BatchKernel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, x.size(0))  # here


class DataLoop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # here
            return x
        return -x


class ValueLoop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for i in range(int(x.sum())):  # here
            x = x + i
        return x


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:2] = 0  # here
        return y


class WritesIntoSamples(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, :1] = 0  # here
        return y


class Iterates(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return sum(row for row in x)  # here


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("not written yet")  # here


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


REFUSED = {
    Gelu: "snnc compile ... --recipe diet --train DATA",
    HardSwish: "not this curve",
    Silu: "--recipe diet",
    Attention: "a neuron only sums them",
    Gate: "leave the gate out",
    Norm: "BatchNorm",
    SoftmaxInside: "very end",
    Upsampled: "mode='nearest'",
    UnevenlyUpsampled: "by a whole number",
    WritesIntoSamples: "writes into part of a tensor",
    Product: "multiplies activations",
    TwoSidedBounds: "never below 0",
    BoundOfCurrent: "put a ReLU before it",
    NegativeBound: "not a positive number",
    Rounded: "clamp before or behind it",
    RoundedDown: "rounded to the nearest",
    Square: "to a power",
    BatchStack: "before the batch",
    BatchUnbind: "samples of the batch",
    CellInALoop: "feed-forward",
    BatchMean: "the batch",
    BatchSlice: "samples of the batch",
    BatchPermute: "moves the batch axis",
    BatchCat: "along the batch axis",
    BatchFlatten: "x.size(0)",
    BatchFactor: "depends on the batch",
    ActiveDropout: "training=self.training",
    Indices: "dilation=1",
    CroppedReflection: "pad after it",
    LeftProduct: "x @ weight.t()",
    ActivationProduct: "a neuron only sums them",
    VectorProduct: "an array of 1 axes",
    NoStatistics: "statistics of the batch",
    LinearAtThreeAxes: "at most two axes of positions",
    Integers: "rounds to torch.int32",
    Smaller: "compares activations",
    WhereLargest: "indices of a maximum",
    Exponential: "takes an exponential",
    Overwritten: "inplace=False",
    Recurrent: "feed-forward",
    GatherIndex: "use slices",
    ConstantCat: "F.pad",
    BatchKernel: "kernel (the size of the batch)",
}
"""Per class, words of its message."""

NOT_TRACEABLE = {
    DataLoop: "control flow",
    ValueLoop: "number depends on the values",
    Writes: "writes into part of a tensor",
    Iterates: "iterates over a tensor",
    Raises: "ValueError: not written yet",
}
"""Per class, words of the reason."""
