"""Imports the architectures of torchvision and timm, and says what is taken or refused.

`python architectures.py FOLDER [torchvision] [timm]`, with snnc on the path. Every
architecture is imported in a process of its own, with limits of time and memory. FOLDER keeps a row
for each, and the same command goes on where it was stopped; imports that failed are tried again. At
the end come tables in Markdown. The exit status is 1 if an import ended in another way than taken
or refused.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from zoos import ZOOS, Zoo

from snnc.errors import UnsupportedError

SECONDS, GIGABYTES, CLOCK_SECONDS = 900, 14, 3600
"""Limits of one import: time of the processor, memory that may be asked for, time on the clock."""

Row = dict[str, Any]
_SHAPE = re.compile(r" of a sample of shape \([^()]*\)")


def imported(zoo: Zoo, name: str) -> Row:
    """Import an architecture in this process: what came of it."""
    torch.manual_seed(0)
    start = time.process_time()
    try:
        graph = zoo.load(name)
    except UnsupportedError as error:
        title = error.message.partition("\n")[0]
        came: Row = {"outcome": "refused", "said": title, "why": reasons(error)}
    except Exception as error:  # a library, or snnc, may raise anything
        came = {"outcome": "failed", "said": f"{type(error).__name__}: {error}"}
    else:
        came = {"outcome": "taken", "nodes": len(list(graph))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.process_time() - start
    row = {"name": name, "family": zoo.families[name]}
    return {**row, **came, "seconds": round(seconds, 1), "gigabytes": round(peak, 2)}


def reasons(error: UnsupportedError) -> list[str]:
    """The operations that are refused and why, each once, in the order of the model."""
    listed = dict.fromkeys(f"{p.op}: {_SHAPE.sub('', p.reason)}" for p in error.problems)
    return list(listed) or error.message.splitlines()[-1:]


def _child(sender: Connection, zoo: Zoo, name: str) -> None:
    limit = GIGABYTES * 1_000_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    sender.send(imported(zoo, name))


def row_of(zoo: Zoo, name: str) -> Row:
    """Import an architecture in a process of its own: what came of it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, zoo, name))
    process.start()
    sender.close()
    try:
        if receiver.poll(CLOCK_SECONDS):
            return receiver.recv()
        said = f"longer than {CLOCK_SECONDS} s on the clock"
    except EOFError:
        process.join()
        said = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return {"name": name, "family": zoo.families[name], "outcome": "failed", "said": said}


def rows_of(zoo: Zoo, path: Path) -> list[Row]:
    """The rows of a zoo; those that `path` has are not made again, but for failures."""
    kept: list[Row] = json.loads(path.read_text()) if path.exists() else []
    rows = [row for row in kept if row["outcome"] != "failed"]
    done = {row["name"] for row in rows}
    for name in zoo.families:
        if name not in done:
            row = row_of(zoo, name)
            rows.append(row)
            _replace(path, json.dumps(rows, indent=1) + "\n")
            print(zoo.library, _line(row), file=sys.stderr, flush=True)
    return rows


def _replace(path: Path, text: str) -> None:
    """Write a file that is whole whenever the process is stopped."""
    written = path.with_suffix(".new")
    written.write_text(text)
    written.replace(path)


def _line(row: Row) -> str:
    said = row.get("said", f"{row.get('nodes')} nodes")
    return f"{row['name']}: {row['outcome']}, {said} ({row.get('seconds', '-')} s)"


def table(library: str, rows: Iterable[Row]) -> str:
    """A line of Markdown per family: how many are taken and refused, and why."""
    families: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["family"]):
        families.setdefault(row["family"], []).append(row)
    lines = [f"| {library} | taken | refused | why |", "|---|---:|---:|---|"]
    for family, members in families.items():
        taken, refused = (
            sum(row["outcome"] == each for row in members) for each in ("taken", "refused")
        )
        why = dict.fromkeys(reason for row in members for reason in row.get("why", ()))
        failed = [f"FAILED {row['said']}" for row in members if row["outcome"] == "failed"]
        lines.append(f"| {family} | {taken} | {refused} | {'; '.join([*why, *failed])} |")
    return "\n".join(lines)


def main(folder: Path, chosen: list[str]) -> int:
    """Print the tables; how many imports failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for key in chosen or ZOOS:
        zoo = ZOOS[key]()
        rows = rows_of(zoo, folder / f"{key}.json")
        failed += sum(row["outcome"] == "failed" for row in rows)
        print(f"\n{table(zoo.library, rows)}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]) > 0)
