"""Conversion without training: accuracy lost, agreement kept, and what an inference takes.

    python -m benchmarks.conversion.table --data-dir DIR

DIR holds `mnist/`, `fashion-mnist/`, `cifar10/` (official layouts; CIFAR-10 with `exact_train.npy`
and `exact_test.npy`, the images that are bit-exact) and `models/` with the weights of MNIST's
network and the two ResNets. That of Fashion-MNIST is trained into `--work`, once, in minutes.

A row is one network, converted by `snnc compile` with the default recipe and 1,024 training images,
drawn anew for each of `--draws`, and one run of test images: the gap to the ANN on the exact ones
with its paired 95 % interval; agreement with the ANN on all 10,000, of the first draw and windows
of up to `--longest` steps (the other rows run on the exact images); what an inference takes; the
same network on a crossbar. The parts are measured in this order, but of the first five together
the first draw comes before the next:

- fixed: the kinds of neurons, real values.
- tuned: the same with `tune=4 precision=bfloat16`.
- integers: rows of `fixed` with T = 8 rounded to 8 and 4 bits against the calibration data, made of
  the artifact with real values; every spike, count and readout compared on CPU and crossbar with
  the reference, on 64 of the calibration images.
- any-time: `convert{prefixes=all}` with T = 32, judged after every quarter of it.
- split: groups of neurons in 4 steps, beside single ones in 4 and in 8.
- latency, signed-latency: `convert{latency=N}` beside T = N, and beside SpikingJelly's best
  readout within N steps, as in `results/spikingjelly_*.json`.
- others: further windows and networks.

Every stage of a row is kept in `--work`, and the same command goes on where it was stopped.
`--results` has all rows of `--work`, rewritten after each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.conversion.conversions import CALIBRATION_IMAGES
from benchmarks.conversion.judged_networks import NETWORKS
from benchmarks.conversion.report import readme_table, tables
from benchmarks.conversion.rows import Measurement
from benchmarks.conversion.setting import PARTS, plan
from benchmarks.machine import machine
from benchmarks.repository import RESULTS
from snnc.new_file import new_file

ACCURACY, CONVERSION = "accuracy-table", "conversion-tables"
"""Names of the places in Markdown files that tables are written to."""


def between(page: str, place: str, text: str) -> str:
    """`page` with `text` between `<!-- place -->` and `<!-- /place -->`."""
    start, stop = f"<!-- {place} -->", f"<!-- /{place} -->"
    before, rest = page.split(start)
    return f"{before}{start}\n{text}\n{stop}{rest.split(stop)[1]}"


def write_between(path: Path, place: str, text: str) -> None:
    """Put `text` into a place of a Markdown file."""
    page = between(path.read_text(encoding="utf-8"), place, text)
    path.write_text(page, encoding="utf-8")


def peer_gaps(results: Path) -> dict[tuple[str, int], list[float]]:
    """Gaps of SpikingJelly's best recipe read within T steps, by network and T, one a draw."""
    gaps: dict[tuple[str, int], list[float]] = {}
    for path in sorted(results.glob("spikingjelly_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for row in found["test_images"]:
            if row["readout"] == "within":
                key = found.get("network", "resnet20"), row["timesteps"]
                gaps.setdefault(key, []).append(row["gap"])
    return gaps


def kept_rows(work: Path) -> list[dict[str, Any]]:
    """All rows that are known."""
    paths = sorted(work.glob("*.row.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def write_results(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows with the machine that measured them."""
    with new_file(path) as new:
        document = {"machine": machine(), "rows": rows}
        new.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> None:
    """Row by row."""
    measurement = Measurement(
        options.data_dir.resolve(),
        options.work.resolve(),
        threads=options.threads,
        calibration=options.calibration_images,
        longest=options.longest,
        limit=options.limit,
    )
    for setting in plan(options.parts, options.draws, options.networks):
        if options.steps and setting.timesteps not in options.steps:
            continue
        row = measurement.kept(setting, "row", measurement.row)
        print(summary(row), file=sys.stderr, flush=True)
        write_results(options.results or options.work / "rows.json", kept_rows(options.work))


def summary(row: Mapping[str, Any]) -> str:
    """A line."""
    early = "".join(
        f"gap after {end} steps {figures['gap_points']:.2f}, "
        for end, figures in row["prefixes"].items()
    )
    return (
        f"{row['network']} {row['neurons']} {row['precision']} T={row['timesteps']} "
        f"draw {row['draw']}: {early}gap {row['gap_points']:.2f} ± {row['gap_interval_95']:.2f}, "
        f"agreement {100 * row['agreement']:.2f} % of {row['images']}; crossbar "
        f"{row['crossbar_uj']:.1f} µJ; compiled in {row['compile_processor_seconds']:.0f} s, "
        f"{row['compile_peak_gb']:.2f} GB"
    )


def main() -> None:
    """Measure what is missing, then print the tables of all rows, and write them if asked."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        measure(options)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on from what {options.work} holds")
    rows = kept_rows(options.work)
    text = tables(rows, peer_gaps(RESULTS))
    print(text)
    if options.readme is not None:
        write_between(options.readme, ACCURACY, readme_table(rows))
    if options.tables is not None:
        write_between(options.tables, CONVERSION, text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("conversion-out"), help="rows are kept")
    parser.add_argument("--results", type=Path, help="all rows as JSON; default in --work")
    parser.add_argument("--parts", nargs="*", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", nargs="+", type=int, help="only rows of this T or latency")
    parser.add_argument("--longest", type=int, default=32, help="window run on all test images")
    parser.add_argument("--threads", type=int, default=1, help="of a conversion and of a run")
    count = CALIBRATION_IMAGES
    parser.add_argument("--calibration-images", type=int, default=count, help="for a trial: fewer")
    parser.add_argument("--limit", type=int, help="for a trial: test images of a row")
    parser.add_argument("--readme", type=Path, help="write the short table into this file")
    parser.add_argument("--tables", type=Path, help="write all tables into this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
