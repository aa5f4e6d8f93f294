"""The options of an attack; as in `snnc.options`, each is defined once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snnc.flag_values import numbers, ratio, words
from snnc.options import DataOptions, ModelOptions, option
from snnc.writes import Writes

DEFAULT_EPS = 8 / 255


@dataclass(frozen=True, kw_only=True)
class AttackOptions(ModelOptions, DataOptions):
    """How a network is attacked. The options of a model are for the one that is no `.snnc` file."""

    method: Sequence[str] = option(
        ("pgd", "adaptive", "noise"),
        "--method",
        metavar="NAME,…",
        help="noise, fgsm, pgd, apgd, square, potential, adaptive, transfer, or all.",
        meaning="attacks by name: noise, fgsm, pgd, apgd, square, potential, adaptive, transfer, "
        "all.",
        read=words,
    )
    eps: float = option(
        DEFAULT_EPS,
        "--eps",
        metavar="8/255",
        help="Largest change of a value of the input.",
        meaning="largest change of a value of the input, in its units.",
        read=ratio,
    )
    bounds: Sequence[float] = option(
        (0.0, 1.0),
        "--bounds",
        metavar="0,1",
        help="Least and largest value of an input.",
        meaning="least and largest value of an input.",
        read=numbers,
    )
    steps: int = option(
        20,
        "--steps",
        kind=int,
        metavar="N",
        help="Steps of an iterative attack; a gradient-free one has ten times as many queries.",
        meaning="steps of an iterative attack.",
    )
    restarts: int = option(
        1,
        "--restarts",
        kind=int,
        metavar="N",
        help="Random starts.",
        meaning="random starts; the strongest counts.",
    )
    eot: int = option(
        10,
        "--eot",
        kind=int,
        metavar="N",
        help="Draws of a random encoder per gradient.",
        meaning="draws of a random encoder per gradient.",
    )
    surrogate: str = option(
        "atan",
        "--surrogate",
        metavar="SPEC",
        help="Derivative of a spike, e.g. triangle{width=2}.",
        meaning="derivative of a spike for fgsm, pgd and apgd, with options in braces.",
    )
    source: str | Path | None = option(
        None,
        "--source",
        metavar="ART|MODEL",
        help="Where inputs for transfer are made.",
        meaning="another network, on which the inputs for `transfer` are made.",
    )
    seeds: int = option(
        3,
        "--seeds",
        kind=int,
        metavar="N",
        help="Evaluations of an input where the encoder is random.",
        meaning="evaluations of an input where the encoder is random.",
    )
    batch_size: int = option(
        50,
        "--batch-size",
        kind=int,
        metavar="N",
        help="Samples that are attacked together.",
        meaning="number of samples that are attacked together.",
    )

    workdir: str | Path | None = option(
        None,
        "--workdir",
        kind=Path,
        metavar="DIR",
        help="Keep what the attacks made there, and which answers were right.",
        meaning="folder for what every attack made, a file for every batch, `NAME-000000.npz`, "
        "and for `right.npz`, which answers were right; None for no files.",
        writes=Writes(("*-[0-9][0-9][0-9][0-9][0-9][0-9]*.npz", "right.npz")),
    )
    resume: bool = option(
        False,
        "--resume",
        kind=bool,
        help="Go on from the files in --workdir.",
        meaning="go on from the files in `workdir`, if they are of the same attack.",
    )
