"""The table of README.md: every row is trained, labelled and tested once, one after the other.

    python examples/stdp_digits/table.py --train 'mnist:DIR#train' --test 'mnist:DIR#test' \
        --workdir DIR

After an interruption, the same command continues with the rows that are missing. `--only` takes
the rows whose names contain one of some words; `--list` shows their names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from compression import Compression
from experiment import Settings, Split, judge, known, load, run, save, weights_report
from images import read

from snnc.errors import SnncError

FRACTIONS = (0.25, 0.5, 0.125, 0.0625)
SPARE = {0.5: 1.9, 0.25: 1.8, 0.125: 1.65, 0.0625: 1.65}
"""For the random control: found by what the rule leaves of a random choice."""
LEVELS = 4
CHOSEN = 0.25


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        settings: of the run.
        trained: the row whose network it compresses; None if it trains one.
        equal: the row that it has exactly as many synapses as.
    """

    name: str
    settings: Settings
    trained: str | None = None
    equal: str | None = None


def compressed(settings: Settings, **options: Any) -> Settings:
    """The settings with a compression over the images of the run."""
    return replace(settings, compression=Compression.over(settings.images, **options))


def rows() -> Iterator[Row]:
    """All rows, the most important ones first."""
    base = Settings()
    dense = [Row(f"dense-seed{seed}", replace(base, seed=seed)) for seed in range(3)]
    yield from dense
    for seed in (1, 2):
        seeded = replace(base, seed=seed)
        yield Row(f"stdp-seed{seed}", compressed(seeded, kept=CHOSEN, levels=LEVELS))
    for kept in FRACTIONS:
        settings = compressed(base, kept=kept, levels=LEVELS)
        yield Row(f"stdp-kept{kept}", settings)
        own = f"stdp-kept{kept}"
        yield Row(f"magnitude-at-end-kept{kept}", settings, dense[0].name, own)
        as_is = compressed(base, kept=kept, levels=LEVELS, renormalised=False)
        yield Row(f"magnitude-at-end-as-is-kept{kept}", as_is, dense[0].name, own)
        by_chance = compressed(base, kept=kept, levels=LEVELS, by="random", spare=SPARE[kept])
        yield Row(f"random-kept{kept}", by_chance, equal=own)
    for rows in (512, 384):
        chosen = compressed(base, kept=CHOSEN, levels=LEVELS, inputs=rows, renormalised=False)
        yield Row(f"stdp-rows{rows}", chosen, f"stdp-kept{CHOSEN}")
        whole = compressed(base, kept=1.0, levels=0, inputs=rows, renormalised=False)
        yield Row(f"dense-rows{rows}", whole, dense[0].name)
    for levels in (1, 2, 0):
        yield Row(f"levels{levels}", compressed(base, kept=CHOSEN, levels=levels))
    small = replace(base, neurons=100)
    yield Row("dense-100-neurons", small)
    yield Row("stdp-100-neurons", compressed(small, kept=CHOSEN, levels=LEVELS))
    large = replace(base, images=60_000)
    yield Row("dense-60000", large)
    yield Row("stdp-60000", compressed(large, kept=CHOSEN, levels=LEVELS))
    yield Row("soft", compressed(base, kept=CHOSEN, levels=LEVELS, hard=False))


def equal(settings: Settings, network: Path) -> Settings:
    """The settings, for as many synapses as a stored network has."""
    assert settings.compression is not None
    with np.load(network) as file:
        total = int(file["kept"].sum())
    return replace(settings, compression=replace(settings.compression, total=total))


def result(row: Row, data: Split, test: Split, workdir: Path) -> dict[str, object]:
    """Compute a row; its network is stored in the folder."""
    settings = row.settings
    if row.equal is not None:
        settings = equal(settings, workdir / f"{row.equal}.npz")
    if row.trained is None:
        network, report = run(settings, data, test)
    else:
        network = load(workdir / f"{row.trained}.npz", settings)
        assert settings.compression is not None
        settings.compression.finish(network, settings.seed)
        judged = judge(network, known(data, settings), test, settings.seed)
        report = {**weights_report(network), **judged}
    save(network, workdir / f"{row.name}.npz")
    return {"settings": asdict(settings), **report}


def main() -> None:
    """Compute the rows that are missing, and keep the figures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="training data, e.g. mnist:DIR#train")
    parser.add_argument("--test", help="test data, e.g. mnist:DIR#test")
    parser.add_argument("--workdir", type=Path, help="for figures and trained networks")
    parser.add_argument("--only", default="", help="words, separated by commas")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    given = parser.parse_args()
    wanted = [r for r in rows() if any(word in r.name for word in given.only.split(","))]
    if given.list:
        print("\n".join(row.name for row in wanted))
        return
    if not (given.train and given.test and given.workdir):
        parser.error("--train, --test and --workdir are needed")
    given.workdir.mkdir(parents=True, exist_ok=True)
    path = given.workdir / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    data, test = read(given.train), read(given.test)
    for row in wanted:
        if row.name not in results:
            results[row.name] = result(row, data, test, given.workdir)
            path.with_suffix(".new").write_text(json.dumps(results, indent=1) + "\n")
            path.with_suffix(".new").replace(path)
        figures = results[row.name]
        print(
            f"{row.name:26} {100 * figures['accuracy']:6.2f} %  {figures['kept']:.4f}", flush=True
        )


if __name__ == "__main__":
    try:
        main()
    except SnncError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command continues") from None
