"""`.snnc` files whose members are changed and whose checksums are then right again."""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz import safetensors_edits
from fuzz.edits import NUMBERS, changed, edited_json, flipped, json_text
from snnc.artifact import open_artifact
from snnc.artifact.layout import MANIFEST
from snnc.cli.main import application
from snnc.driver import evaluate, verify_artifact
from snnc.driver.programs import open_program
from snnc.errors import ArtifactError

FROZEN = Path(__file__).parent.parent / "frozen"
KEYS = (
    *("timesteps", "wait", "longest", "padding", "stride", "dilation", "scale", "lo", "hi"),
    *("input_shape", "shape", "starts", "stops", "axes", "factors", "groups", "unit", "windows"),
    *("multiplicity", "divisors", "threshold", "leak", "v_init", "analog", "count", "source"),
    *("target", "mean", "std", "out_height", "out_width", "height", "pad_top", "rows", "cols"),
    *("positions", "channels", "bits", "latency", "margin"),
)
LARGEST_BASE = 26_000  # bytes of the artifacts that are changed


class Artifacts:
    """Artifacts of every target; a changed one is loaded, and run on one sample."""

    name = "snnc"

    def __init__(self) -> None:
        paths = sorted(path for path in FROZEN.glob("v*/*.snnc"))
        small = [path for path in paths if path.stat().st_size < LARGEST_BASE]
        self._bases = [_members(path.read_bytes()) for path in small]

    def write(self, rng: Random, place: Path) -> Path:
        members = dict(rng.choice(self._bases))
        _edit(rng, members)
        data = _archive(members, rng)
        if rng.randrange(20) == 0:
            data = flipped(rng, data)
        path = place / "a.snnc"
        path.write_bytes(data)
        return path

    def is_whole(self, path: Path) -> bool:
        try:
            open_artifact(path).check()
        except ArtifactError:
            return False
        return True

    def use(self, path: Path, rng: Random) -> None:
        artifact = open_artifact(path)
        artifact.check()
        graph = artifact.graph()
        shape = graph.type_of(graph.input).shape
        program = open_program(artifact)
        program.run(np.full((1, *shape), 0.5, np.float32), record="spikes")
        match rng.randrange(6):
            case 0:
                evaluate(path, np.full((1, *shape), 0.5, np.float32), measure_layers=True)
            case 1:
                verify_artifact(path)
            case 2:
                _command("inspect", str(path), "--ir", "--plan", "--json")
            case 3:
                _command("export", str(path), "--format", "text", "-o", str(path.parent / "out"))
            case _:
                pass


def _command(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        application()(list(arguments), prog_name="snnc", standalone_mode=False)


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _edit(rng: Random, members: dict[str, bytes]) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        match rng.randrange(12):
            case 0 | 1:
                _rename(rng, members)
                continue
            case 2 | 3 | 4:
                _other_number(rng, members)
                continue
            case _:
                pass
        name = rng.choice([*members, "graph.json"])
        members[name] = _edited_member(rng, name, members[name])


def _edited_member(rng: Random, name: str, data: bytes) -> bytes:
    if name.endswith(".json"):
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return flipped(rng, data)
        return json_text(rng, edited_json(rng, document))
    if name.endswith(".safetensors") and safetensors_edits.is_whole(data):
        return safetensors_edits.edited(rng, data)
    return rng.choice((changed, flipped))(rng, data)


def _rename(rng: Random, members: dict[str, bytes]) -> None:
    """Give a name in a member the place of another, wherever it stands there."""
    jsons = [name for name in members if name.endswith(".json") and name != MANIFEST]
    member = rng.choice(jsons)
    names = sorted({each for each in _texts(members[member]) if len(each) < 60})
    if names:
        old, new = rng.choice(names), rng.choice((*names, "input", "x"))
        quoted = (json.dumps(each).encode() for each in (old, new))
        members[member] = members[member].replace(*quoted)


def _other_number(rng: Random, members: dict[str, bytes]) -> None:
    """Give a number, of a key of which there are few, another value in all members."""
    key = rng.choice(KEYS)
    value = json.dumps(rng.choice(NUMBERS)).encode()
    pattern = re.compile(rb'("%s": ?\[*)-?[0-9.e+-]+' % key.encode())
    everywhere = rng.randrange(2) == 0
    for name in [name for name in members if name.endswith(".json")]:
        members[name] = pattern.sub(rb"\g<1>" + value, members[name], 0 if everywhere else 1)


def _texts(data: bytes) -> list[str]:
    found: list[str] = []
    waiting: list[Any]
    try:
        waiting = [json.loads(data)]
    except (ValueError, RecursionError):
        return found
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
    return found


def _archive(members: dict[str, bytes], rng: Random) -> bytes:
    """The file, whose manifest has the right checksums where it is a manifest still."""
    try:
        manifest = json.loads(members[MANIFEST])
    except (ValueError, RecursionError):
        manifest = None
    if isinstance(manifest, dict) and rng.randrange(50):
        rest = {name: data for name, data in members.items() if name != MANIFEST}
        manifest["checksums"] = {name: sha256(data).hexdigest() for name, data in rest.items()}
        members = {**members, MANIFEST: json.dumps(manifest).encode()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()
