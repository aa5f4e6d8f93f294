"""Training without labels, labels for the neurons, and the accuracy on other images."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from compression import Compression
from constants import PIXELS, Presentation, Rule
from network import Network, Poisson
from numpy.typing import NDArray

Images = NDArray[np.uint8]
TRAIN, LABEL, TEST = range(3)
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run: neurons, training images (shown once, in order), seed, rule and compression."""

    neurons: int = 400
    images: int = 20_000
    labelled: int = 5_000
    seed: int = 0
    rule: Rule = field(default_factory=Rule)
    compression: Compression | None = None


@dataclass
class Show:
    """Shows images to a network, again with more input while too few spikes come.

    Attributes:
        repeats: presentations beyond the first of an image.
        unanswered: images with too few spikes at the largest intensity.
        input_spikes: (784,) spikes of the inputs, over all presentations.
    """

    network: Network
    seed: int
    phase: int
    presentation: Presentation = field(default_factory=Presentation)
    repeats: int = 0
    unanswered: int = 0
    presentations: int = 0

    def __post_init__(self) -> None:
        dt = self.network.neurons.dt
        self._source = Poisson((self.seed, self.phase), self.presentation, dt)
        self._silence = self.network.neurons.steps(self.presentation.rest)
        self.input_spikes = np.zeros(PIXELS, np.int64)

    def image(self, image: Images) -> NDArray[np.int64]:
        """Show one image, (784,): spikes of every neuron in its last presentation."""
        learn = self.phase == TRAIN
        p = self.presentation
        for intensity in range(p.intensity, p.largest_intensity + 1):
            if learn:
                self.network.normalise()
            shown = self._source.draw(image, intensity, self.presentations)
            self.input_spikes += np.bincount(shown.spikes, minlength=PIXELS)
            spikes = self.network.present(shown, self._silence, learn)
            self.presentations += 1
            self.repeats += intensity > p.intensity
            if len(spikes) >= p.enough:
                break
        else:
            self.unanswered += 1
        return np.bincount(spikes[:, 1], minlength=self.network.count)

    def counts(self, images: Images) -> NDArray[np.int64]:
        """Spikes of every neuron for every image, (images, neurons)."""
        return np.stack([self.image(image) for image in images])


def train(network: Network, images: Images, settings: Settings) -> Show:
    """Show the training images once, learning, and compressing at intervals."""
    show = Show(network, settings.seed, TRAIN)
    plan = settings.compression
    for number, image in enumerate(images):
        if plan and plan.due(number):
            plan.apply(network, plan.fraction(number), settings.seed)
        show.image(image)
    if plan:
        plan.finish(network, settings.seed)
    return show


def label(counts: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class with the highest mean spike count for every neuron; -1 for silent ones."""
    means = np.stack([counts[classes == c].mean(0) for c in range(CLASSES)])
    return np.where(means.max(0) > 0, means.argmax(0), -1)


def shares(counts: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(neurons, 10): the share of a neuron's mean spike counts that each class has."""
    means = np.stack([counts[classes == c].mean(0) for c in range(CLASSES)], 1)
    return means / np.maximum(means.sum(1, keepdims=True), 1e-12)


def predict(counts: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every image, the class whose neurons have the highest mean spike count."""
    groups = np.stack([labels == c for c in range(CLASSES)], 1).astype(float)
    return (counts @ (groups / np.maximum(groups.sum(0), 1))).argmax(1)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images (N, 784), 0..255, and their classes."""

    images: Images
    classes: NDArray[np.int64]

    def __getitem__(self, rows: slice) -> Split:
        return Split(images=self.images[rows], classes=self.classes[rows])


def judge(network: Network, known: Split, test: Split, seed: int) -> dict[str, float]:
    """Label the neurons on `known`, classify `test`; nothing learns.

    Accuracy is that of the labels (one class a neuron, Diehl and Cook 2015), and that of `shares`
    (every neuron votes for all classes; Hazan et al., "Unsupervised learning with self-organizing
    spiking neural networks", 2018, have such a vote).
    """
    seen = Show(network, seed, LABEL).counts(known.images)
    labels, votes = label(seen, known.classes), shares(seen, known.classes)
    show = Show(network, seed, TEST)
    begin = time.process_time()
    counts = show.counts(test.images)
    seconds = time.process_time() - begin
    right = predict(counts, labels) == test.classes
    right_by_shares = (counts @ votes).argmax(1) == test.classes
    fan_out = (network.weights > 0).sum(1)
    return {
        "accuracy": float(right.mean()),
        "accuracy_by_shares": float(right_by_shares.mean()),
        "silent_neurons": int((labels < 0).sum()),
        "test_repeats": show.repeats,
        "test_unanswered": show.unanswered,
        "test_images_per_s": len(test.images) / seconds,
        "spikes_per_image": float(counts.sum(1).mean()),
        "presentations": show.presentations,
        "synaptic_events_per_image": float(show.input_spikes @ fan_out / len(test.images)),
        "input_spikes_per_image": float(show.input_spikes.sum() / len(test.images)),
    }


def weights_report(network: Network) -> dict[str, float]:
    """What is left of the weights; the zeros of the rule itself are counted apart."""
    size = network.kept.size
    return {
        "kept": float((network.weights > 0).sum() / size),
        "zeros_of_the_rule": float(((network.learned == 0) & (network.kept != 0)).sum() / size),
        "dead_neurons": int((~(network.weights > 0).any(0)).sum()),
        "level_distance": float(network.levels[0]),
        "full_weights": float((network.weights >= 0.999).sum() / size),
        "mean_theta_mv": float(network.state["theta"].mean()),
    }


def run(settings: Settings, data: Split, test: Split) -> tuple[Network, dict[str, float]]:
    """Train, label on the last of the training images, and classify the test images once."""
    network = Network(settings.neurons, settings.rule, settings.seed)
    begin = time.process_time()
    show = train(network, data.images[: settings.images], settings)
    seconds = time.process_time() - begin
    report = {
        "train_images_per_s": settings.images / seconds,
        "train_repeats": show.repeats,
        "train_unanswered": show.unanswered,
        **weights_report(network),
        **judge(network, known(data, settings), test, settings.seed),
    }
    return network, report


def known(data: Split, settings: Settings) -> Split:
    """The training images whose classes label the neurons: the last ones shown."""
    return data[max(0, settings.images - settings.labelled) : settings.images]


def save(network: Network, path: Path) -> None:
    """Store the weights and thresholds of a network in a file `.npz`."""
    np.savez(path, **_stored(network))


def load(path: Path, settings: Settings) -> Network:
    """A network stored by `save`, of these settings."""
    network = Network(settings.neurons, settings.rule, settings.seed)
    with np.load(path) as file:
        for name, array in _stored(network).items():
            array[:] = file[name]
    network.conduct()
    return network


def _stored(network: Network) -> dict[str, NDArray[np.generic]]:
    return {
        "learned": network.learned,
        "kept": network.kept,
        "levels": network.levels,
        "theta": network.state["theta"],
    }
