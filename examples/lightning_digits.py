"""A spiking network in a Lightning loop: weights, thresholds and leaks learn, layers are logged.

python examples/lightning_digits.py [OUTPUT_FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import snnc
from snnc.data import open_data
from snnc.training import SpikingNetwork, spike_cost, watch

DIGITS = Path(__file__).parent / "digits"
TRAIN, VALIDATION = "digits#train[:1097]", "digits#train[1097:]"

sys.path.insert(0, str(DIGITS))
from net import build  # noqa: E402  (the example's own model)


class SpikingClassifier(lightning.LightningModule):
    """Loss: cross-entropy of the readout plus `price` times `spike_cost`."""

    def __init__(self, network: SpikingNetwork, price: float = 0.1) -> None:
        super().__init__()
        self.network, self.price = network, price

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        with self.network.record() as spikes:
            logits = self.network(images)
        return F.cross_entropy(logits, labels) + self.price * spike_cost(spikes)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        right = (self.network(images).argmax(1) == labels).float().mean()
        self.log("accuracy", right, batch_size=len(images))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-4)
        optimizer.register_step_post_hook(self.network.constrain)  # thresholds > 0, leaks in 0..1
        return optimizer


class LogLayers(lightning.Callback):
    """Logs rate, silent neurons, threshold and leak of every population on the validation data."""

    def on_validation_start(self, trainer: lightning.Trainer, module: SpikingClassifier) -> None:
        def log(layers: tuple[snnc.training.LayerStatistics, ...]) -> None:
            for layer in layers:
                for name in ("rate", "silent", "threshold", "leak"):
                    module.log(f"{layer.node}/{name}", getattr(layer, name), batch_size=1)

        self.watching = watch(module.network, log)

    def on_validation_end(self, trainer: lightning.Trainer, module: SpikingClassifier) -> None:
        self.watching.close()


def batches(data: str, *, shuffle: bool) -> DataLoader[tuple[Tensor, ...]]:
    """A DataLoader over all samples of a DATA text."""
    ((images, labels),) = open_data(data, batch_size=2000)
    pairs = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    return DataLoader(pairs, batch_size=32, shuffle=shuffle)


def main(folder: Path) -> None:
    """Run the example; writes `digits.snnc` to `folder`."""
    lightning.seed_everything(0)
    model = build().eval()
    model.load_state_dict(load_file(DIGITS / "weights.safetensors"))
    converted = snnc.compile(model, calibration=TRAIN, timesteps=1)
    network = snnc.to_torch(converted.graph, dropout=0.1)

    trainer = lightning.Trainer(
        max_epochs=5,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,  # any of Lightning's: the layers are among what is logged
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LogLayers()],
    )
    classifier = SpikingClassifier(network)
    trainer.validate(classifier, batches(VALIDATION, shuffle=False))
    trainer.fit(classifier, batches(TRAIN, shuffle=True), batches(VALIDATION, shuffle=False))
    for name, value in trainer.callback_metrics.items():
        print(f"{name:16} {value:.3f}")

    path = folder / "digits.snnc"
    snnc.compile(
        snnc.from_torch(network),
        passes="quantize{bits=8}",
        timesteps=1,
        calibration=TRAIN,
        output=path,
    )
    print(f"test accuracy {snnc.evaluate(path, 'digits#test').evaluation.windows[-1].accuracy:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
