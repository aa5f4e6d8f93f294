"""The options of compiling and evaluating: each defined once, with type, default, flag, meaning.

`snnc.compile`, `snnc.diagnose`, `snnc.evaluate`, `snnc.driver.Job` and the command line take their
parameters from the dataclasses here, so an option is added by adding a field. Imports neither numpy
nor torch: `snnc VERB --help` reads this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from snnc.flag_values import integers, numbers, shape
from snnc.writes import Writes


class MapStyle(Protocol):
    """A dataset with samples by number, like those of torch."""

    def __getitem__(self, index: Any, /) -> Any:
        """One sample: x, (x, y) or a dict."""
        ...


Data: TypeAlias = "str | Path | MapStyle | Iterable[Any]"
"""A DATA text; an array or tensor (N, *shape), or a tuple (x, y) of both; a map-style dataset; a
DataLoader; batches that can be gone through again. See `snnc.data.given.open_given`."""

T = TypeVar("T")
FLAG, MEANING = "flag", "meaning"
"""Keys of a field's metadata: its `Flag`, and what it means in Python."""
DEFAULT_WINDOW = 8
"""Time steps."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """How an option is given on the command line.

    Attributes:
        names: e.g. `("-T", "--timesteps")`.
        kind: type of the value as the command line gives it.
        help: one line for `--help`.
        metavar: the value's name in `--help`; None for a switch.
        read: turns (name of the flag, text) into the field's value; None where `kind` is that
            already. Raises `UsageError`.
        default_varies: whether the default depends on the verb, and `--help` shows none.
        writes: the mark of a folder that is written to; None for what is read, or is no path.
    """

    names: tuple[str, ...]
    kind: Any
    help: str
    metavar: str | None = None
    read: Callable[[str, str], Any] | None = None
    default_varies: bool = False
    writes: Writes | None = None


def described(default: T, meaning: str) -> T:
    """A field without a flag, for use in Python only."""
    return cast(T, field(default=default, metadata={MEANING: meaning}))


def option(
    default: T,
    *names: str,
    kind: Any = str,
    help: str,
    meaning: str,
    metavar: str | None = None,
    read: Callable[[str, str], Any] | None = None,
    default_varies: bool = False,
    writes: Writes | None = None,
) -> T:
    """A field with a flag; the arguments are those of `Flag`, `meaning` is for Python."""
    flag = Flag(
        names=names,
        kind=kind,
        help=help,
        metavar=metavar,
        read=read,
        default_varies=default_varies,
        writes=writes,
    )
    return cast(T, field(default=default, metadata={FLAG: flag, MEANING: meaning}))


def flags(options: type) -> Mapping[str, tuple[Flag, Any]]:
    """The flag and the default of each field of a dataclass that has a flag, by field name."""
    listed: tuple[Field[Any], ...] = fields(options)
    return {f.name: (f.metadata[FLAG], f.default) for f in listed if FLAG in f.metadata}


def _seed() -> int:
    meaning = "seed of everything random."
    return option(0, "--seed", kind=int, metavar="N", help=meaning.capitalize(), meaning=meaning)


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What to compile to, with which passes, on which data."""

    target: str = option(
        "cpu",
        "--target",
        metavar="TARGET",
        help="See targets.",
        meaning="the target, with options in braces, e.g. `cpu{threads=2}`.",
    )
    recipe: str | None = option(
        None,
        "--recipe",
        metavar="RECIPE",
        help="See recipes; default convert.",
        meaning="a named pipeline with options; None for `convert`. Excludes `passes`.",
    )
    passes: str | None = option(
        None,
        "--passes",
        metavar="SPEC",
        help="A pipeline of your own.",
        meaning="the pipeline itself, e.g. `fold-batchnorm,quantize{bits=8}`.",
    )
    timesteps: int | None = option(
        None,
        "-T",
        "--timesteps",
        kind=int,
        metavar="N",
        help=f"Window, in steps; default a .snnc file's own, else {DEFAULT_WINDOW}.",
        meaning="the window T in time steps, the longest where a pass chooses one; None for "
        f"that of a model which has one, such as a compiled `.snnc` file, else {DEFAULT_WINDOW}.",
        default_varies=True,
    )
    calibration: Data | None = option(
        None,
        "--calibration",
        metavar="DATA",
        help="Data to choose thresholds on.",
        meaning="data to choose thresholds on: a DATA text (`digits#train`), an array or tensor "
        "(N, *shape), (x, y), a Dataset, a DataLoader or batches. Without any, thresholds are "
        "chosen on synthetic inputs, with a warning.",
    )
    train: Data | None = option(
        None,
        "--train",
        metavar="DATA",
        help="Data for passes that learn.",
        meaning="data for passes that learn, given like `calibration`.",
    )
    validation: Data | float | None = option(
        None,
        "--validation",
        metavar="DATA|0.1",
        help="Data for passes that choose; a fraction takes that part out of --train.",
        meaning="data for passes that choose, given like `calibration`; a number in (0, 1), or its "
        "text, is the fraction of the training data to take for it.",
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What names a model, besides the model itself. Sequences are stored as tuples."""

    weights: str | Path | None = option(
        None,
        "--weights",
        kind=Path,
        metavar="FILE",
        help="Parameters of the model.",
        meaning="file of the model's parameters, or None.",
    )
    allow: Sequence[str] = option(
        (),
        "--allow",
        kind=list[str],
        metavar="CLASS",
        help="A class a pickled model may hold; repeatable.",
        meaning="classes of the user's that a pickled module may hold.",
    )
    input_shape: tuple[int, ...] | None = option(
        None,
        "--input-shape",
        metavar="C,H,W",
        help="Shape of one sample, e.g. 3,32,32.",
        meaning="shape of one sample, channels first; None where only one fits, or data tell it.",
        read=shape,
    )
    frontend: str | None = option(
        None,
        "--frontend",
        metavar="SPEC",
        help="What reads the model, with options. See frontends.",
        meaning="what reads the model, with options in braces, e.g. `nir{dt=1e-4 reset=zero}`; "
        "None to choose by the content of the file.",
    )
    mean: Sequence[float] | float = option(
        (),
        "--mean",
        metavar="M,…",
        help="Subtracted from the input, one or per channel.",
        meaning="subtracted from the input, one value or one per channel, in units of the input; "
        "empty for nothing.",
        read=numbers,
    )
    std: Sequence[float] | float = option(
        (),
        "--std",
        metavar="S,…",
        help="Divides the input, one or per channel.",
        meaning="divides the input after `mean`, one value or one per channel; empty for nothing.",
        read=numbers,
    )

    def __post_init__(self) -> None:
        for name in ("allow", "mean", "std"):
            given = getattr(self, name)
            values = tuple(given) if isinstance(given, Iterable) else (given,)
            object.__setattr__(self, name, values)

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """`mean` and `std` as sequences."""
        return cast(Any, (self.mean, self.std))


@dataclass(frozen=True, kw_only=True)
class ThreadOptions:
    """With how many threads is computed."""

    threads: int | None = option(
        None,
        "--threads",
        kind=int,
        metavar="N",
        help="Threads that compute; default one per core.",
        meaning="threads of torch, for the time of the call, and of the target, unless its text "
        "sets them; None for torch's own setting and one per core.",
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(ThreadOptions):
    """How the passes are run."""

    workdir: str | Path | None = option(
        None,
        "--workdir",
        kind=Path,
        metavar="DIR",
        help="Keep checkpoints of passes that learn there.",
        meaning="folder in which passes that learn keep checkpoints; None for no checkpoints.",
        writes=Writes(("[0-9][0-9]*-*/*",)),
    )
    resume: bool = option(
        False,
        "--resume",
        kind=bool,
        help="Go on from the checkpoints in --workdir, if there are any.",
        meaning="go on from the checkpoints in `workdir`, if there are any.",
    )
    device: str = option(
        "cpu",
        "--device",
        metavar="cpu|cuda",
        help="Where passes compute.",
        meaning='where passes compute, "cpu" or "cuda".',
    )
    dump_ir: str | Path | None = option(
        None,
        "--dump-ir",
        kind=Path,
        metavar="DIR",
        help="The graph after each pass.",
        meaning="folder to write the graph to after every pass; None for none.",
        writes=Writes(("[0-9][0-9]*-*.snnc", "[0-9][0-9]*-*.txt")),
    )
    seed: int = _seed()


@dataclass(frozen=True, kw_only=True)
class CompilationOptions(RunOptions, ModelOptions, ConversionOptions):
    """Every option of a compilation that has a flag."""


@dataclass(frozen=True, kw_only=True)
class DataOptions(ThreadOptions):
    """Which samples are run, for how many steps."""

    limit: int | None = option(
        None,
        "--limit",
        kind=int,
        metavar="N",
        help="Only the first N samples.",
        meaning="number of samples, None for all.",
    )
    timesteps: int | None = option(
        None,
        "-T",
        "--timesteps",
        kind=int,
        metavar="N",
        help="Window, in steps; default the artifact's own.",
        meaning="the window T in time steps; None for the artifact's own.",
    )
    seed: int = _seed()


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(DataOptions):
    """How a compiled network is run on data."""

    sweep: Sequence[int] = option(
        (),
        "--sweep",
        metavar="1,2,4",
        help="Windows, as prefixes of one run.",
        meaning="windows instead of `timesteps`: the largest is run, the others are its prefixes.",
        read=integers,
    )
    batch_size: int = option(
        100,
        "--batch-size",
        kind=int,
        metavar="N",
        help="",
        meaning="number of samples that are run together.",
    )
    chips: int | None = option(
        None,
        "--chips",
        kind=int,
        metavar="N",
        help="Means over N chips with errors of their own.",
        meaning="over how many programmed chips to take means, for a target with a `chip-seed`; "
        "their seeds are this one and those that follow. None for the target as it is.",
    )
    vary: str | None = option(
        None,
        "--vary",
        metavar="OPTION=[A B]",
        help="Also with other values of an option of the target.",
        meaning="an option of the target and its values, in the grammar of targets: it is run with "
        "each of them, too. Only an option that the artifact does not depend on. None for none.",
    )
