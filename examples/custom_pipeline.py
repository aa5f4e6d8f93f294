"""The Python API: trace a model, run a pipeline with a pass of your own, compile, measure, verify.

python examples/custom_pipeline.py [OUTPUT_FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

import snnc
from snnc.data import open_data
from snnc.ir import Conv, Graph, Linear, Neuron

DIGITS = Path(__file__).parent / "digits"
TIMESTEPS = 16

sys.path.insert(0, str(DIGITS))
from net import build  # noqa: E402  (the example's own model)


@dataclass(frozen=True, kw_only=True)
class Sparsify(snnc.Pass):
    """Zero the smallest `fraction` of every layer's weights. Needs no installation to be used."""

    name = "sparsify"
    fraction: float = 0.1

    def run(self, graph: Graph, ctx: snnc.PassContext) -> snnc.PassResult:
        """Rewrite the weights of every convolution and linear layer."""
        zeros = 0
        for node in graph:
            if isinstance(node.op, Conv | Linear):
                weight = graph.params[node.op.weight.name]
                weak = np.abs(weight) <= np.quantile(np.abs(weight), self.fraction)
                graph.set_param(node.op.weight.name, np.where(weak, 0, weight).astype(weight.dtype))
                zeros += int(weak.sum())
        return snnc.PassResult(graph, metrics={"zeros": zeros})


def main(folder: Path) -> None:
    """Run the example; writes `digits.snnc` to `folder`."""
    model = build().eval()
    model.load_state_dict(load_file(DIGITS / "weights.safetensors"))

    # 1. A model becomes a graph of stage `ann`.
    graph = snnc.trace(model, (1, 8, 8))
    print(f"traced {len(graph)} nodes at stage {graph.stage}")

    # 2. Passes from text and passes from Python make one pipeline.
    installed = snnc.Pipeline.from_text(
        "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons,"
        "threshold-balance{percentile=99.9},initialize-potential,fold-scale"
    )
    quantize = snnc.Pipeline.from_text("quantize{bits=8}")
    pipeline = snnc.Pipeline([*installed.passes, Sparsify(fraction=0.2), *quantize.passes])
    ctx = snnc.PassContext(timesteps=TIMESTEPS, calibration=open_data("digits#train"))
    result = pipeline.run(graph, ctx)
    for step in result.steps:
        print(f"  {step.spec:32} {step.seconds:.2f} s")

    # 3. The spiking graph is compiled as it is: the pipeline has run, so `passes` is empty.
    path = folder / "digits.snnc"
    snnc.compile(result.graph, output=path, target="cpu", passes="", timesteps=TIMESTEPS)

    # 4. Load and run it, measure it, compare it with the reference.
    images, labels = next(iter(open_data("digits#test", batch_size=500)))
    run = snnc.load(path).run(images, record="counts")
    neurons = [node.name for node in result.graph if isinstance(node.op, Neuron)]
    spikes = sum(int(run.counts[name].sum()) for name in neurons) / len(images)
    print(f"accuracy {np.mean(run.output.argmax(1) == labels):.3f}, {spikes:.0f} spikes per image")

    comparison = snnc.verify_artifact(path, data="digits#test[:20]")
    print(f"equal to the reference: {comparison.equal}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
