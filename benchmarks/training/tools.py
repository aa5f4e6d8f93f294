"""The same spiking network in five tools, and the ANN it is compared with.

Integrate-and-fire neurons with threshold 1 and soft reset, direct encoding, logits averaged over
T steps. The derivative of a spike is max(0, 1 - |p - 1|), which all tools can express; the reset
is constant to the gradient in all of them. Every tool is imported when it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

NORSE_GAIN = 2.0**40
"""Norse has leaky neurons only: v + a(I - v), with a = 1/gain and currents gain times as large."""


@dataclass(frozen=True)
class Net:
    """A network as text: channels of a 3x3 convolution, A for 2x2 average pooling, f… linear."""

    shape: tuple[int, int, int]
    batch: int
    layers: str

    def data(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Images in 0..1 and labels."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(self.batch, *self.shape, generator=generator)
        return x, torch.randint(10, (self.batch,), generator=generator)

    def parts(self, gain: float = 1.0) -> list[nn.Module | None]:
        """Fresh modules with the same weights every time; None stands for an activation."""
        generator = torch.Generator().manual_seed(1)
        channels, size, modules = self.shape[0], self.shape[1], list[nn.Module | None]()
        texts = self.layers.split()
        for i, text in enumerate(texts):
            if text == "A":
                modules.append(nn.AvgPool2d(2))
                size //= 2
                continue
            if text[0] == "f" and "f" not in "".join(texts[:i]):
                modules.append(nn.Flatten())
                channels *= size * size
            out = int(text.removeprefix("f"))
            layer = (
                nn.Linear(channels, out)
                if text[0] == "f"
                else nn.Conv2d(channels, out, 3, padding=1)
            )
            _fill(layer, generator, gain)
            modules += [layer] if i == len(texts) - 1 else [layer, None]
            channels = out
        return modules


NETS: Mapping[str, Net] = MappingProxyType(
    {
        "vgg9": Net((3, 32, 32), 32, "64 64 A 128 128 A 256 256 256 A f1024 f10"),
        "small": Net((1, 28, 28), 64, "16 A 32 A f128 f10"),
    }
)


@torch.no_grad()
def _fill(layer: nn.Conv2d | nn.Linear, generator: torch.Generator, gain: float) -> None:
    """Weights under which 10 to 30 % of the neurons fire."""
    fan = layer.weight[0].numel()
    drawn = torch.randn(layer.weight.shape, generator=generator)
    layer.weight.copy_(drawn * (2.5 / fan) ** 0.5 * gain)
    assert layer.bias is not None
    layer.bias.fill_(0.05 * gain)


@dataclass(frozen=True)
class Tool:
    """A network in one of the tools.

    Attributes:
        module: what holds the parameters.
        outputs: logits (N, 10) for images (N, *shape).
        factors: by which the tool's weights are larger than those of the ANN, by layer; 1 for all
            where None.
    """

    module: nn.Module
    outputs: Callable[[Tensor], Tensor]
    factors: tuple[float, ...] | None = None

    def gradients(self) -> list[Tensor]:
        """By the parameters of the ANN: weight and bias of every layer, contiguous."""
        grads = [p.grad for p in self.module.parameters() if p.requires_grad]
        factors = self.factors or (1.0,) * len(grads)
        pairs = zip(grads, factors, strict=True)
        return [(g * f).contiguous() for g, f in pairs if g is not None]


def ann(net: Net, timesteps: int) -> Tool:
    """The network with ReLUs, one pass."""
    module = nn.Sequential(*(part or nn.ReLU() for part in net.parts()))
    return Tool(module, module)


def snnc_network(net: Net, timesteps: int, learn: tuple[str, ...] = ("weight", "bias")) -> Tool:
    """`snnc.to_torch` of the network; weights and biases learn, as in the other tools."""
    import snnc

    model = ann(net, timesteps).module.eval()
    graph = snnc.trace(model, net.shape)
    passes = "lower-avgpool,activations-to-neurons,fold-scale"
    result = snnc.Pipeline.from_text(passes).run(graph, snnc.PassContext(timesteps=timesteps))
    module = snnc.to_torch(result.graph, surrogate="triangle", learn=learn)
    ours, theirs = dict(module.named_parameters()), dict(model.named_parameters())
    with torch.no_grad():
        quotients = [ours[name].flatten()[0] / p.flatten()[0] for name, p in theirs.items()]
    factors = [float(q) for q in quotients]
    order = [name for name, p in ours.items() if p.requires_grad and name in theirs]
    assert order == list(theirs)
    return Tool(module.train(), module, tuple(factors))


def snnc_all(net: Net, timesteps: int) -> Tool:
    """The same, thresholds and leaks learn too."""
    return snnc_network(net, timesteps, ("weight", "bias", "threshold", "leak"))


def snntorch(net: Net, timesteps: int) -> Tool:
    """snnTorch: `Leaky` with beta 1, step after step."""
    import snntorch as snn
    from snntorch import surrogate, utils

    def triangle(potential: Tensor, grad: Tensor, spikes: Tensor) -> Tensor:
        return grad * torch.relu(1 - potential.abs())

    def neuron() -> nn.Module:
        spike = surrogate.custom_surrogate(triangle)
        return snn.Leaky(beta=1.0, threshold=1.0, spike_grad=spike, init_hidden=True)

    module = nn.Sequential(*(part or neuron() for part in net.parts()))

    def outputs(x: Tensor) -> Tensor:
        utils.reset(module)
        return torch.stack([module(x) for _ in range(timesteps)]).mean(0)

    return Tool(module, outputs)


def _if_node(mode: str) -> nn.Module:
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.IFNode(
        v_threshold=1.0,
        v_reset=None,
        detach_reset=True,
        surrogate_function=surrogate.PiecewiseQuadratic(alpha=1.0),
        step_mode=mode,
    )


def spikingjelly_multi(net: Net, timesteps: int) -> Tool:
    """SpikingJelly, all steps of a layer at once."""
    from spikingjelly.activation_based import functional, layer

    module = nn.Sequential(
        *(layer.SeqToANNContainer(part) if part else _if_node("m") for part in net.parts())
    )

    def outputs(x: Tensor) -> Tensor:
        functional.reset_net(module)
        return module(x.repeat(timesteps, 1, 1, 1, 1)).mean(0)

    return Tool(module, outputs)


def spikingjelly_single(net: Net, timesteps: int) -> Tool:
    """SpikingJelly, step after step."""
    from spikingjelly.activation_based import functional

    module = nn.Sequential(*(part or _if_node("s") for part in net.parts()))

    def outputs(x: Tensor) -> Tensor:
        functional.reset_net(module)
        return torch.stack([module(x) for _ in range(timesteps)]).mean(0)

    return Tool(module, outputs)


def norse(net: Net, timesteps: int) -> Tool:
    """Norse: `LIFBoxCell` with next to no leak, step after step."""
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState

    def reset(z: Tensor, v: Tensor, _to: Tensor, threshold: Tensor) -> Tensor:
        return v - z.detach() * threshold

    p = LIFBoxParameters(
        tau_mem_inv=torch.as_tensor(1 / NORSE_GAIN),
        v_leak=torch.as_tensor(0.0),
        v_th=torch.as_tensor(1.0),
        reset_method=reset,
        method="triangle",
        alpha=torch.as_tensor(1.0),
    )
    parts = net.parts(NORSE_GAIN)
    last = parts[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.div_(NORSE_GAIN)
        last.bias.div_(NORSE_GAIN)
    module = SequentialState(*(part or LIFBoxCell(p, dt=1.0) for part in parts))

    def outputs(x: Tensor) -> Tensor:
        state: Any = None
        logits = list[Tensor]()
        for _ in range(timesteps):
            y, state = module(x, state)
            logits.append(y)
        return torch.stack(logits).mean(0)

    count = sum(1 for _ in module.parameters())
    return Tool(module, outputs, (NORSE_GAIN,) * (count - 2) + (1.0, 1.0))


TOOLS: Mapping[str, Callable[[Net, int], Tool]] = MappingProxyType(
    {
        "snnc": snnc_network,
        "snnc, all learn": snnc_all,
        "SpikingJelly multi-step": spikingjelly_multi,
        "SpikingJelly single-step": spikingjelly_single,
        "snnTorch": snntorch,
        "Norse": norse,
    }
)
PEERS = tuple(name for name in TOOLS if not name.startswith("snnc"))
