"""`snnc new`: a plugin package to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from snnc.cli import options

LISTING = {
    "pass": "passes",
    "backend": "targets",
    "device": "devices",
    "exporter": "exporters",
}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    options.add(app, "new", new)


def new(
    *,
    kind: Annotated[
        str, typer.Argument(metavar="pass|backend|device|exporter", help="What to make.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, e.g. drop-weak.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder to make; snnc-NAME."),
    ] = None,
    out: options.Out,
) -> None:
    """Write a plugin package that installs and passes its own tests.

    Example: snnc new pass drop-weak
    """
    from snnc.scaffold import new_plugin

    folder, files = new_plugin(kind, name, output)
    path = shlex.quote(str(folder))
    place = str(folder) if folder.is_absolute() else f"./{folder}"
    following = [
        f"pip install -e {shlex.quote(f'{place}[dev]')}",
        f"python -m pytest {path}",
        f"snnc {LISTING[kind]} {name}",
    ]
    out.listing(f"wrote {folder}", files)
    out.listing("next:", following)
    out.document(
        {
            "kind": "new",
            "plugin": kind,
            "name": name,
            "folder": str(folder.resolve()),
            "files": list(files),
            "next": following,
        }
    )
