"""The command `irbis`: one word a stage, `run` for all of them, and what helps around them."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Sequence
from functools import cache

import click

from pipelines.cli import admin, bundle, datasets, notebooks, runs, stages, streams, train  # most add commands
from pipelines.cli.options import OutputClosed, irbis
from pipelines.cli.stages import STAGES
from pipelines.errors import UserError
from pipelines.spark.launch import ensure_home
from pipelines.spark.root_cause import root_cause
from pipelines.spark.runtime import is_external_session
from pipelines.termination import Terminated, before_forced_exit, exit_soon, handle_termination, received_signal

__all__ = [
    "STAGES",
    "admin",
    "bundle",
    "datasets",
    "irbis",
    "main",
    "notebooks",
    "runs",
    "stages",
    "train",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Leaves by SystemExit only on failure: 2 for what the user can mend, 1 for what nobody expected.

    Success returns, because schedulers such as Databricks take any SystemExit for a failed job.
    """
    if arguments is None and not is_external_session():
        streams.use_utf8()
        ensure_home()
    streams.open_streams()
    with streams.escape_control_characters():
        _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> None:
    say_end = cache(_print_end)  # the latest moment may have come before
    try:
        with handle_termination(), before_forced_exit(lambda: say_end(str(received_signal()))):
            code = irbis.main(words, "irbis", standalone_mode=False)
            sys.stdout.flush()
    except UserError as error:
        for fault in error.faults:
            click.echo(f"irbis: {fault}", err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort) as end:
        logging.disable(logging.CRITICAL)  # Spark's end is noisy when it comes in the middle of something
        how, code = (str(end), end.exit_code) if isinstance(end, Terminated) else ("stopped", 130)
        say_end(how)
        if received_signal():
            exit_soon()
        raise SystemExit(code) from None
    except (OutputClosed, BrokenPipeError):  # the latter from what was buffered until now
        streams.discard_output()
        raise SystemExit(streams.BROKEN_PIPE) from None
    except Exception as error:
        raise SystemExit(_print_unexpected(error, "--verbose" in words)) from None
    if code:
        raise SystemExit(code)


def _print_end(how: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may have closed
        click.echo(f"irbis: {how}. What was committed stays; the same command goes on from there.", err=True)


def _print_unexpected(error: Exception, verbose: bool) -> int:
    """Print what an error that nobody expected comes from, and give the exit code."""
    if reason := streams.output_fault(error):
        streams.discard_output()
        click.echo(f"irbis: standard output cannot be written ({reason}).", err=True)
        return 1
    if verbose:
        traceback.print_exception(error)
    click.echo(f"irbis: {root_cause(error)}", err=True)
    log = getattr(error, "record", None)  # where recorded() has written all of it
    where = f"is in {log}" if log else "is shown by --verbose"
    click.echo(f"irbis: This error was not expected. The full traceback {where}.", err=True)
    return 1
