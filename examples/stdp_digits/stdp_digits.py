"""Digits learned without labels by STDP, pruned and rounded to levels while they are learned.

    python examples/stdp_digits/stdp_digits.py --train 'mnist:DIR#train' --test 'mnist:DIR#test' \
        --kept 0.25 --levels 4
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from compression import Compression
from constants import Rule
from experiment import Settings, run, save
from images import read

from snnc.errors import SnncError


def arguments() -> argparse.Namespace:
    """The command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="training data, e.g. mnist:DIR#train")
    parser.add_argument("--test", required=True, help="test data, e.g. mnist:DIR#test")
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--images", type=int, default=20_000, help="training images, shown once")
    parser.add_argument("--labelled", type=int, default=5_000, help="of them label the neurons")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eta", type=float, help="learning rate")
    parser.add_argument("--mu", type=float, help="exponent of the distance from the bound")
    parser.add_argument("--kept", type=float, help="fraction of the synapses to keep")
    parser.add_argument("--threshold", type=float, help="keep synapses above it instead")
    parser.add_argument("--levels", type=int, default=0, help="conductance levels beside 0")
    parser.add_argument("--by", choices=("weight", "random"), default="weight")
    parser.add_argument("--soft", action="store_true", help="pruned synapses may come back")
    parser.add_argument("--every", type=int, default=1000, help="images between two intervals")
    parser.add_argument("--save", type=Path, help="file NAME.npz for the network")
    return parser.parse_args()


def settings(given: argparse.Namespace) -> Settings:
    """The settings that the command line asks for."""
    options = {name: getattr(given, name) for name in ("eta", "mu")}
    rule = Rule(**{name: value for name, value in options.items() if value is not None})
    found = Settings(
        neurons=given.neurons,
        images=given.images,
        labelled=given.labelled,
        seed=given.seed,
        rule=rule,
    )
    if given.kept is None and given.threshold is None and not given.levels:
        return found
    plan = Compression.over(
        given.images,
        kept=1.0 if given.kept is None else given.kept,
        threshold=given.threshold,
        levels=given.levels,
        by=given.by,
        hard=not given.soft,
        every=given.every,
    )
    return replace(found, compression=plan)


def main() -> None:
    """Train, test, print."""
    given = arguments()
    data, test = read(given.train), read(given.test)
    network, report = run(settings(given), data, test)
    for name, value in report.items():
        print(f"{name:26} {value:.6g}")
    if given.save:
        save(network, given.save)


if __name__ == "__main__":
    try:
        main()
    except (SnncError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
