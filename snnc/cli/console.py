"""Where output goes: results to stdout, progress and logs to stderr, bars on a terminal only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc.options import FLAG, Flag
from snnc.torchrun import launch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from snnc.transform import Advance, Progress


def _switch(*names: str, help: str) -> bool:
    """A field that is False unless its flag is given."""
    return field(default=False, metadata={FLAG: Flag(names=names, kind=bool, help=help)})


@dataclass(frozen=True)
class Output:
    """Where and how much one command prints; the fields with a flag are flags of every verb.

    Attributes:
        json: stdout gets one JSON document and nothing else.
        quiet: neither progress nor logs, nor the tables of `compile`.
        verbose: logs of level debug.
        debug: `snnc.cli.main.run` shows the traceback of an error.
        mute: nothing but errors; for all processes of torchrun's but one.
    """

    json: bool = _switch("--json", help="Print one JSON document on stdout.")
    quiet: bool = _switch("-q", "--quiet", help="No progress, no logs, no tables of compile.")
    verbose: bool = _switch("-v", "--verbose", help="More logs.")
    debug: bool = _switch("--debug", help="Show the traceback of an error.")
    mute: bool = False
    bars: _SharedBars = field(default_factory=lambda: _SharedBars(), repr=False)

    @classmethod
    def of_process(cls, json: bool, quiet: bool, verbose: bool, debug: bool) -> Output:
        """The output of this process of torchrun's; ranks above 0 print errors only."""
        return cls(json, quiet, verbose, debug, mute=launch().rank > 0)

    def line(self, text: str = "") -> None:
        """A line of result for people; never wrapped."""
        if not self.json and not self.mute:
            print(text)

    def listing(self, title: str, items: Iterable[str]) -> None:
        """A line, and below it one indented line for each item."""
        for text in (title, *(f"  {item}" for item in items)):
            self.line(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Aligned columns; numbers to the right."""
        if self.json or self.mute or not rows:
            return
        cells = [list(columns), *(list(row) for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        right = [all(_numeric(row[i]) for row in rows) for i in range(len(columns))]
        for row in cells:
            parts = (
                c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
            )
            print("  ".join(parts).rstrip())

    def document(self, report: Mapping[str, Any]) -> None:
        """The JSON document, if that is wanted."""
        if self.json and not self.mute:
            from snnc.report.files import to_json

            print(to_json(report))

    def report(self, folder: Path | None, report: Mapping[str, Any]) -> None:
        """Write the report where a folder is given, and say where on a line of its own."""
        if folder is None or self.mute:
            return
        from snnc.report import provenance, write_report

        written = write_report(folder, {**report, "provenance": provenance(datetime.now(UTC))})
        if written.note is not None:
            self.log.warning(written.note)
        print(f"report: {written.shown}", file=sys.stderr if self.json else sys.stdout)

    @cached_property
    def log(self) -> logging.Logger:
        """A logger of this command's own, writing to stderr."""
        level = logging.DEBUG if self.verbose else logging.INFO
        logger = logging.Logger("snnc", logging.WARNING if self.quiet else level)
        if self.mute:
            logger.setLevel(logging.CRITICAL + 1)
        handler = _Lines(self.bars)
        logger.addHandler(handler)
        return logger

    @property
    def progress(self) -> Progress:
        """Bars on a terminal, nothing elsewhere."""
        from snnc.transform import silent

        return silent if self.quiet or self.mute or not sys.stderr.isatty() else self.bars.open


class _Lines(logging.Handler):
    """Log records as plain lines on stderr, above the bars if there are any."""

    def __init__(self, bars: _SharedBars) -> None:
        super().__init__()
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; warnings say so."""
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        self._bars.line(prefix + record.getMessage())


class _SharedBars:
    """Bars of nested tasks in one display, which is there while any task runs."""

    def __init__(self) -> None:
        self._display: Bars | None = None
        self._tasks = 0

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True)

    @contextmanager
    def open(self, title: str, total: int | None, /) -> Iterator[Advance]:
        """A bar for `total` steps (None: unknown)."""
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        if self._display is None:
            columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
            display = Progress(
                *columns, TimeRemainingColumn(), console=self._console, transient=True
            )
            display.start()
            self._display = display
        display = self._display
        task = display.add_task(title, total=total)
        self._tasks += 1

        def advance(steps: int = 1, /) -> None:
            display.advance(task, steps)

        try:
            yield advance
        finally:
            display.remove_task(task)
            self._tasks -= 1
            if not self._tasks:
                display.stop()
                self._display = None

    def line(self, text: str) -> None:
        """A line above the bars."""
        if self._display is None:
            print(text, file=sys.stderr)
        else:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _numeric(text: str) -> bool:
    return not text or text[0].isdigit() or text[0] in "-+."


def figure(value: Any) -> str:
    """A value for people: numbers short, lists in brackets."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(figure(item) for item in value)}]"
    return str(value)


def percent(value: float) -> str:
    """A fraction as a percentage with two digits."""
    return f"{100 * value:.2f} %"
