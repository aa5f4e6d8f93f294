"""Compiles with every checkpoint that `save.py` made, and prints what came of it.

`python table.py FOLDER`, in an environment that has snnc and none of the libraries. A refusal that
says `--weights FILE#KEY` or `--weights FILE` is followed. The exit status is 1 if a checkpoint is
neither taken with the right weights nor refused with the words it has to be refused with.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from snnc.cli.main import run
from snnc.errors import SnncError
from snnc.frontends.factory import load_module

NET = Path(__file__).parent / "net.py"
CODE = f"{NET}:build"
_OFFERED = re.compile(r"--weights '([^']+)'$")
_FITTING = re.compile(r"several networks that fit: (.*)$", re.MULTILINE)


def compiled(weights: str, folder: Path) -> str:
    """What `snnc compile` says on the error stream; empty if it compiled."""
    command = ["compile", CODE, "--weights", weights, "--input-shape", "1,8,8", "-q"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = run([*command, "-o", str(folder / "net.snnc")])
    return "" if code == 0 else said.getvalue().strip()


def right(weights: str, wanted: Path) -> bool:
    """Whether the network has the wanted weights, bit for bit."""
    found = load_module(CODE, Path(weights)).state_dict()
    return all(
        torch.equal(found[key], value)
        for key, value in load_file(wanted).items()
        if key.rpartition(".")[2] != "num_batches_tracked"
    )


def outcome(case: dict[str, str], folder: Path) -> tuple[bool, str]:
    """Whether it is as it has to be, and what came of it."""
    weights, wanted = str(folder / case["weights"]), folder / case["wanted"]
    said = compiled(weights, folder)
    if not case["refused"]:
        taken = not said and right(weights, wanted)
        return taken, "taken" if taken else f"WRONG: {said or 'other weights'}"
    if case["refused"] not in said or "error:" not in said:
        return False, f"WRONG: {said or 'taken'}"
    choices = _choices(said)
    if not choices:
        return True, f"refused: {said}"
    works = not any(compiled(each, folder) for each in choices)
    works = works and any(right(each, wanted) for each in choices)
    return works, f"refused: {said}\n(the hint {'works' if works else 'DOES NOT WORK'})"


def _choices(said: str) -> list[str]:
    """What a refusal offers as `--weights`: a file, or every key of one."""
    offered = _OFFERED.search(said)
    if offered is None:
        return []
    file = offered[1].partition("#")[0]
    fitting = _FITTING.search(said)
    return [f"{file}#{key}" for key in fitting[1].split(", ")] if fitting else [offered[1]]


def main(folder: Path) -> int:
    """Print the table; the number of cases that are not as they have to be."""
    wrong = 0
    for case in json.loads((folder / "cases.json").read_text()):
        try:
            as_wanted, text = outcome(case, folder)
        except SnncError as error:
            as_wanted, text = False, f"WRONG: {error.message}"
        wrong += not as_wanted
        shown = text.replace(f"{folder}/", "").replace(str(NET), NET.name).replace("\n", "\n    ")
        print(f"{case['library']}: {case['saved']}\n    {shown}", flush=True)
    print(f"{wrong} not as they have to be")
    return wrong


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
