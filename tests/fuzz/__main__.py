"""`python -m fuzz`: run cases, print counts by format and outcome; exit 1 if any went wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch

from fuzz.campaign import Campaign
from fuzz.formats import formats
from fuzz.outcome import Tally
from fuzz.worker import case


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", help="only this one; may be repeated")
    parser.add_argument("--log", type=Path, help="keep results there, and go on from them")
    parser.add_argument("--only", metavar="FORMAT:NUMBER", help="write this case, and run it here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only:
        return _one(*options.only.split(":"), seed=options.seed)
    log = None if options.log is None else options.log.resolve()
    total = Tally()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        campaign = Campaign(options.seed, Path(place), log)
        for kind in formats(options.format):
            tally = campaign.run(kind, options.first, options.first + options.cases)
            print(tally.line(kind.name), flush=True)
            for number, what in tally.faults:
                print(f"  {kind.name}:{number} {what}", flush=True)
            total.merge(tally)
    print(total.line("all").rpartition("  slowest")[0])
    return 1 if total.faults else 0


def _one(name: str, number: str, *, seed: int) -> int:
    (kind,) = formats([name])
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    path = case(kind, seed, int(number), place)
    print(f"{path}, whole: {kind.is_whole(path)}", flush=True)
    os.chdir(place)
    from random import Random

    kind.use(path, Random(f"{seed} {name} {number} use"))
    print("read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
