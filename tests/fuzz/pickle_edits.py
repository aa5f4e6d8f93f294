"""Changes of pickles by opcode: calls put in, attributes added, values and names exchanged."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Sequence
from random import Random

from fuzz.edits import NUMBERS, TEXTS, flipped, some

Ops = list[bytes]
"""The opcodes of a pickle, each with its argument."""

CALLS = (
    ("posix", "system", ("touch marker",)),
    ("os", "system", ("touch marker",)),
    ("subprocess", "getoutput", ("touch marker",)),
    ("builtins", "eval", ("open('marker', 'w')",)),
    ("builtins", "exec", ("open('marker', 'w')",)),
    ("builtins", "open", ("marker", "w")),
    ("builtins", "__import__", ("antigravity",)),
    ("runpy", "run_path", ("marker.py",)),
    ("pathlib", "Path", ("marker",)),
    ("pathlib", "Path.touch", ("marker",)),
    ("torch", "load", ("other.pt",)),
    ("torch.serialization", "load", ("other.pt",)),
    ("torch.hub", "load", ("other.pt", "x")),
    ("numpy", "load", ("other.npy",)),
    ("numpy.lib.npyio", "fromfile", ("/dev/zero",)),
    ("fuzz.payload", "leaves_marker", ()),
    ("fuzz.payload", "Leaves", ()),
    ("fuzz.payload", "Net", ()),
    ("torch.nn.modules.linear", "Linear", (2, 2)),
    ("torch.nn.modules.module", "Module.apply", ()),
    ("torch.jit", "script", ("x",)),
    ("torch._tensor", "_rebuild_from_type_v2", ()),
    ("torch._utils", "_rebuild_parameter", ()),
    ("_codecs", "encode", ("x", "latin1")),
    ("collections", "OrderedDict", ()),
    ("builtins", "getattr", ("x", "__class__")),
    ("functools", "partial", ("x",)),
    ("types", "CodeType", ()),
    ("weakref", "ref", ()),
)
"""Module, name and arguments of what a pickle may call."""

CLASSES = ("Linear", "Conv2d", "ReLU", "Sequential", "Module", "Flatten")


def parsed(data: bytes) -> Ops:
    """The opcodes of a pickle."""
    places = [place for _, _, place in pickletools.genops(data) if place is not None]
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode(errors="surrogatepass")
    return b"X" + len(data).to_bytes(4, "little") + data


def value(rng: Random) -> bytes:
    """Opcodes that leave one value on the stack."""
    match rng.randrange(12):
        case 0:
            return call(rng)
        case 1 | 2:
            return name(rng)
        case 3:
            return b"(" + b"".join(value(rng) for _ in range(rng.randrange(3))) + b"t"
        case 4:
            return b"](" + b"".join(value(rng) for _ in range(rng.randrange(3))) + b"e"
        case 5:
            return b"}" + text(rng.choice(TEXTS)) + value(rng) + b"s"
        case 6:
            return b"h" + bytes([rng.randrange(40)])  # something of the pickle
        case 7:
            return text(rng.choice(TEXTS))
        case _:
            return plain(rng.choice((*NUMBERS, None, True, False)))


def name(rng: Random) -> bytes:
    """A class or a function."""
    module, attribute, _ = rng.choice(CALLS)
    if rng.randrange(2):
        layer = rng.choice(CLASSES)
        places = {"Conv2d": "conv", "ReLU": "activation", "Sequential": "container"}
        module, attribute = f"torch.nn.modules.{places.get(layer, layer.lower())}", layer
    if rng.randrange(4) == 0:
        return text(module) + text(attribute) + b"\x93"
    return f"c{module}\n{attribute}\n".encode()


def call(rng: Random) -> bytes:
    """A call, in one of the ways that a pickle has for it."""
    module, attribute, arguments = rng.choice(CALLS)
    found = f"c{module}\n{attribute}\n".encode()
    given = b"".join(text(a) if isinstance(a, str) else b"K" + bytes([a]) for a in arguments)
    match rng.randrange(7):
        case 0:
            return found + b"(" + given + b"t\x81"
        case 1:
            return found + b"(" + given + b"t}\x92"
        case 2:
            return b"(" + found + given + b"o"
        case 3:
            return b"(" + given + f"i{module}\n{attribute}\n".encode()
        case 4:
            return found + b")\x81}" + text("items") + value(rng) + b"sb"
        case 5:
            return b"\x82" + bytes([rng.randrange(256)])
        case _:
            return found + b"(" + given + b"tR"


def edited(rng: Random, ops: Ops, names: Sequence[str]) -> bytes:
    """A pickle of these opcodes with changes; `names` are of attributes that may be added."""
    changed = list(ops)
    for _ in range(some(rng, 3)):
        _edit(rng, changed, names)
    data = b"".join(changed)
    return flipped(rng, data) if rng.randrange(25) == 0 else data


def _edit(rng: Random, ops: Ops, names: Sequence[str]) -> None:
    place = rng.randrange(1, len(ops))
    match rng.randrange(14):
        case 0:
            del ops[place]
        case 1:
            ops.insert(place, ops[rng.randrange(1, len(ops))])
        case 2:
            other = rng.randrange(1, len(ops))
            ops[place], ops[other] = ops[other], ops[place]
        case 3 | 4:
            ops.insert(place, call(rng) + b"0")
        case 5 | 6 | 7:
            _add_attribute(rng, ops, names)
        case 8:
            _replace(rng, ops, b"c", name(rng))
        case 9 | 10:
            _replace(rng, ops, rng.choice((b"K", b"M", b"J", b"\x88", b"\x89", b"N")), value(rng))
        case 11:
            _replace(rng, ops, b"X", text(rng.choice((*names, *TEXTS))))
        case 12:
            _replace(rng, ops, b"X", value(rng))
        case _:
            ops[-1] = value(rng) + rng.choice((b"b.", b"s.", b"0.", b"."))


def _replace(rng: Random, ops: Ops, code: bytes, new: bytes) -> None:
    places = [i for i, op in enumerate(ops) if op[:1] == code]
    if places:
        ops[rng.choice(places)] = new


def _add_attribute(rng: Random, ops: Ops, names: Sequence[str]) -> None:
    """Put an entry into a state, just before an object is given it."""
    places = [i for i, op in enumerate(ops) if op == b"b"]
    if places:
        ops.insert(rng.choice(places), text(rng.choice(names)) + value(rng) + b"s")


def plain(value: object) -> bytes:
    """Opcodes that leave a value of Python's own on the stack."""
    return pickle.dumps(value, 2)[2:-1]
