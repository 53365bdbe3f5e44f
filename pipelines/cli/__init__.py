"""The command `irbis`: one word a stage, `run` for all of them, and what helps around them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from pipelines.cli import around, bundle, datasets, learning, notebooks, remote, stages  # each adds its commands
from pipelines.cli.group import SHORT_FORMS, irbis
from pipelines.cli.stages import STAGES
from pipelines.errors import UserError

__all__ = [
    "SHORT_FORMS",
    "STAGES",
    "around",
    "bundle",
    "datasets",
    "irbis",
    "learning",
    "main",
    "notebooks",
    "remote",
    "stages",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Leaves by SystemExit only on failure: 2 for what the user can mend.

    Success returns, because schedulers such as Databricks take any SystemExit for a failed job.
    """
    try:
        code = irbis.main(list(sys.argv[1:] if arguments is None else arguments), "irbis", standalone_mode=False)
    except UserError as error:
        for fault in error.faults:
            click.echo(f"irbis: {fault}", err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        logging.disable(logging.CRITICAL)  # Spark's end is noisy when it comes in the middle of something
        click.echo("irbis: stopped. What was committed stays; the same command goes on from there.", err=True)
        raise SystemExit(130) from None
    if code:
        raise SystemExit(code)
