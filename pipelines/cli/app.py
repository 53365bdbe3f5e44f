"""Entry point of the command `irbis`: assemble the commands, run one, and turn errors into exit codes."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Sequence
from functools import cache

import click

from pipelines.cli import (  # most add commands
    admin,
    bundle,
    datasets,
    detect,
    exchange,
    explain,
    notebooks,
    predict,
    review,
    runs,
    stages,
    streams,
    submit,
    suggest,
    train,
)
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
    "detect",
    "exchange",
    "explain",
    "irbis",
    "main",
    "notebooks",
    "predict",
    "review",
    "runs",
    "stages",
    "submit",
    "suggest",
    "train",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises SystemExit only on failure: code 2 for a user error, 1 for an unexpected one.

    Returns on success, because schedulers such as Databricks treat every SystemExit as a failed job.
    """
    if arguments is None and not is_external_session():
        streams.use_utf8()
        ensure_home()
    streams.open_streams()
    with streams.escape_control_characters():
        _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> None:
    print_end = cache(_print_end)  # the forced exit may have called it already
    try:
        with handle_termination(), before_forced_exit(lambda: print_end(str(received_signal()))):
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
        logging.disable(logging.CRITICAL)  # Spark logs many errors when it is stopped in the middle of a job
        reason, code = (str(end), end.exit_code) if isinstance(end, Terminated) else ("interrupted", 130)
        print_end(reason)
        if received_signal():
            exit_soon()
        raise SystemExit(code) from None
    except (OutputClosed, BrokenPipeError):  # BrokenPipeError: raised by the flush of buffered output
        streams.discard_output()
        raise SystemExit(streams.BROKEN_PIPE) from None
    except Exception as error:
        raise SystemExit(_print_unexpected(error, "--verbose" in words)) from None
    if code:
        raise SystemExit(code)


def _print_end(reason: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may have closed
        click.echo(f"irbis: {reason}. Committed work is kept; run the same command again to resume.", err=True)


def _print_unexpected(error: Exception, verbose: bool) -> int:
    """Print the root cause of an unexpected error and return the exit code."""
    if reason := streams.output_fault(error):
        streams.discard_output()
        click.echo(f"irbis: cannot write to standard output ({reason}).", err=True)
        return 1
    if verbose:
        traceback.print_exception(error)
    click.echo(f"irbis: {root_cause(error)}", err=True)
    log = getattr(error, "record", None)  # set by record_run(), which has logged the traceback
    where = f"is in {log}" if log else "is shown by --verbose"
    click.echo(f"irbis: Unexpected error. The full traceback {where}.", err=True)
    return 1
