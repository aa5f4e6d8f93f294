"""The typer application; turns errors into messages on stderr and exit codes."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

from snnc.cli import (
    attack_command,
    bench_command,
    compile_command,
    diagnose_command,
    eval_command,
    export_command,
    inspect_command,
    new_command,
    opt_command,
    plugins_commands,
    run_command,
    verify_command,
)
from snnc.cli.console import Output
from snnc.cli.waiting import wait_briefly
from snnc.errors import SnncError, UnsupportedError
from snnc.torchrun import once

INTERRUPTED = 130
_NO_NUMBER = re.compile(r"Input should be a valid integer.*|'.*' is not a valid int(eger)?\.?")
"""How typer says that a value is no whole number."""
DEFECT = 70
"""Exit code for a defect of snnc or of a plugin; no user error has it."""

HELP = """\
Compile a trained neural network into a spiking network.

    snnc compile net.py:build --weights w.safetensors --input-shape 1,28,28 \
--calibration 'mnist:DIR#train[:1000]' -o net.snnc
"""


def application() -> typer.Typer:
    """The typer application with every verb."""
    app = typer.Typer(
        name="snnc",
        context_settings={"help_option_names": ["-h", "--help"]},
        help=HELP,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for module in (
        compile_command,
        run_command,
        eval_command,
        bench_command,
        verify_command,
        attack_command,
        diagnose_command,
        inspect_command,
        export_command,
        opt_command,
        plugins_commands,
        new_command,
    ):
        module.register(app)
    app.callback()(_version)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"snnc {version('snnc')}")
        raise typer.Exit


def _version(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of `snnc` itself."""


_version.__doc__ = HELP


def run(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code. Errors are written to stderr, one line and a hint."""
    debug = "--debug" in arguments
    try:
        result = application()(list(arguments), prog_name="snnc", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return _interrupted()
    except typer.TyperException as error:
        message = error.format_message()
        shown = message.splitlines()
        if not message or "Usage:" in shown[0]:  # no arguments: the help itself
            print(message)
            return 2
        shown = [_NO_NUMBER.sub("a whole number is expected", line) for line in shown]
        return _say(" ".join(shown), "see snnc --help, or snnc VERB --help", error.exit_code or 2)
    except SnncError as error:
        if isinstance(error, UnsupportedError):
            Output.of_process("--json" in arguments, False, False, debug).document(error.report())
        return _say(error.message, error.hint, error.exit_code, trace=debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}", None, 2, trace=debug)
    except KeyboardInterrupt:
        return _interrupted()
    except Exception:
        hint = "please report the lines above"
        return _say("a defect of snnc or of a plugin", hint, DEFECT, trace=True)
    if result == INTERRUPTED:
        return _interrupted()
    return int(result or 0)


def main() -> NoReturn:
    """Entry point of the command `snnc`."""
    wait_briefly(os.environ)
    sys.exit(run(sys.argv[1:]))


def _say(message: str, hint: str | None, code: int, *, trace: bool = False) -> int:
    shown = [f"error: {message}", *(f"  hint: {line}" for line in (hint or "").splitlines())]
    if trace:
        shown.insert(0, traceback.format_exc().rstrip())
    once(lambda: print(*shown, sep="\n", file=sys.stderr))
    return code


def _interrupted() -> int:
    once(lambda: print("interrupted", file=sys.stderr))
    return INTERRUPTED
