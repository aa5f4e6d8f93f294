"""Exports networks of Keras to ONNX, with what they compute. `python keras_onnx.py FOLDER`.

In an environment of its own, with TensorFlow and tf2onnx: `keras-requirements.txt`. Weights are
random; the statistics of batch norms too, so that a wrong one is seen. Every network is exported by
a process of its own, as an export takes about 20 times the memory of the weights (VGG16: 11 GB,
which is why it is not here). The same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
from keras import Input, Model, layers

Build = Callable[[], Model]
APPLICATIONS = (
    "MobileNet", "MobileNetV2", "ResNet50", "ResNet50V2", "DenseNet121", "InceptionV3",
    "Xception", "NASNetMobile", "MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny",
)  # fmt: skip
SAMPLES = 2


def mobilenet() -> Model:
    """Separable convolutions with ReLU6, the mean over space."""
    x = inputs = Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for channels, stride in ((16, 1), (32, 2)):
        x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x) if stride == 2 else x
        padding = "valid" if stride == 2 else "same"
        x = layers.DepthwiseConv2D(3, stride, padding, use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(layers.Conv2D(10, 1)(layers.Dropout(0.1)(x)))
    return Model(inputs, layers.Activation("softmax")(x))


def inverted() -> Model:
    """Bottlenecks of MobileNet-v2: linear, with a sum."""
    x = inputs = Input((24, 20, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(24, 1)(x)))
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(y)))
    x = layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1)(y))])
    return Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def pooled() -> Model:
    """Pools of all kinds in branches that are concatenated; SeparableConv2D; one grey channel."""
    x = inputs = Input((28, 28, 1))
    x = layers.Conv2D(6, 5, padding="same", activation="relu")(x)
    branches = [
        layers.MaxPooling2D(3, 2, padding="same")(x),
        layers.AveragePooling2D(3, 2, padding="same")(x),
        layers.SeparableConv2D(4, 3, 2, padding="same", depth_multiplier=2, activation="relu")(x),
        layers.AveragePooling2D(2)(x),
    ]
    x = layers.Concatenate()(branches)
    x = layers.Cropping2D(((1, 0), (2, 1)))(layers.MaxPooling2D(2)(x))
    return Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def decoder() -> Model:
    """Transposed convolutions and upsampling; leaky activations; a skip; a sigmoid."""
    x = inputs = Input((16, 16, 3))
    skip = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(6, 3, padding="same")(x))
    x = layers.MaxPooling2D(2)(skip)
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(8, 3, dilation_rate=2, padding="same")(x))
    up = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    other = layers.UpSampling2D(2, interpolation="nearest")(x)
    x = layers.Concatenate()([up, other, skip])
    x = layers.Conv2DTranspose(4, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


def wave() -> Model:
    """One spatial axis; batch norm behind a dense layer; Permute, Reshape, RepeatVector."""
    x = inputs = Input((40, 2))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(6, 5, strides=2)(x)))
    x = layers.MaxPooling1D(2)(layers.ZeroPadding1D(1)(x))
    x = layers.Conv1D(4, 3, padding="causal", activation="relu")(x)
    x = layers.Flatten()(layers.Permute((2, 1))(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(12)(x)))
    x = layers.Reshape((3, 2, 2))(x)
    x = layers.Conv2D(4, 2, activation="relu")(x)
    return Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))


def merged() -> Model:
    """Sums, differences, means and two outputs."""
    x = inputs = Input((12, 12, 4))
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.Conv2D(8, 1, activation="relu6")(x)
    x = layers.Average()([layers.Add()([a, b]), layers.Subtract()([a, b])])
    x = layers.AveragePooling2D(3, 1, padding="same")(x)
    first = layers.Dense(3, name="first")(layers.GlobalMaxPooling2D()(x))
    second = layers.Dense(2, name="second", activation="tanh")(layers.Flatten()(x))
    return Model(inputs, [first, second])


def channels_first() -> Model:
    """An image of channels first, which is permuted."""
    x = inputs = Input((3, 16, 16))
    x = layers.Conv2D(6, 3, activation="relu")(layers.Permute((2, 3, 1))(x))
    return Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def normalized() -> Model:
    """A normalisation of the input, whose numbers Keras exports as further inputs."""
    x = inputs = Input((8, 8, 2))
    x = layers.Normalization(mean=[0.1, 0.2], variance=[1.0, 2.0])(x)
    return Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(x))))


def positions() -> Model:
    """Dense layers at every position of a map and of a sequence, which are exported as products."""
    x = inputs = Input((6, 6, 3))
    x = layers.Dense(5, activation="relu")(layers.Conv2D(8, 3, activation="relu")(x))
    x = layers.Dense(6, activation="relu")(layers.Reshape((16, 5))(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(4, use_bias=False)(x)))
    return Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


OWN: tuple[Build, ...] = (mobilenet, inverted, pooled, decoder, wave, merged, channels_first,
                          normalized, positions)  # fmt: skip


def application(name: str) -> Build:
    """A network of `keras.applications` at its own size."""
    sized = {"input_shape": (224, 224, 3)} if name.startswith("MobileNetV3") else {}
    build = getattr(keras.applications, name)
    return lambda: build(weights=None, classifier_activation=None, **sized)


def with_statistics(model: Model) -> None:
    """Give batch norms other statistics and factors than those they start with."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for variable in layer.weights:
                low = -0.2 if variable.name in ("beta", "moving_mean") else 0.8
                variable.assign(rng.uniform(low, low + 0.4, variable.shape))


def save(name: str, build: Build, folder: Path) -> None:
    """Export a model, by Keras, with a batch and what it gives, as Keras lays out both."""
    keras.utils.set_random_seed(0)
    model = build()
    with_statistics(model)
    shape = tuple(model.input_shape[1:])
    x = np.random.default_rng(1).standard_normal((SAMPLES, *shape)).astype(np.float32)
    results = model(x, training=False)
    outputs = results if isinstance(results, Sequence) else [results]
    model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
    arrays = {f"y{i}": np.asarray(output) for i, output in enumerate(outputs)}
    np.savez(folder / "new.npz", x=x, **arrays)
    (folder / "new.npz").replace(folder / f"{name}.npz")


def _is_newer(path: Path, than: Path) -> bool:
    return path.exists() and path.stat().st_mtime > than.stat().st_mtime


def main(folder: Path, only: Sequence[str]) -> int:
    """Save every model, or one alone; how many failed. `models.json` lists them if none did."""
    builders = {build.__name__: build for build in OWN}
    builders |= {name: application(name) for name in APPLICATIONS}
    if only:
        save(only[0], builders[only[0]], folder)
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in builders:
        if not _is_newer(folder / f"{name}.npz", Path(__file__)):
            command = [sys.executable, "-W", "ignore", __file__, str(folder), name]
            failed += subprocess.run(command, check=False).returncode != 0
    if not failed:
        (folder / "models.json").write_text(json.dumps(list(builders), indent=1))
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]) > 0)
