"""The command `irbis review`: look at images in the browser, and label them by keyboard."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets
from pipelines.errors import UserError
from pipelines.formatting import pluralize
from pipelines.review.queue_names import NAMES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipelines.review.server import Running

OPEN_HOST = "Anybody who can reach {} and knows the address can see all images. SSH port forwarding is safer."


@irbis.command()
@click.option("--queue", type=click.Choice(NAMES), help="Queue to start with; default: review, or suggest.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; default: the first free one from 8765.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--reviewer", metavar="NAME", help="Who decides; default: your user name.")
@click.option("--keys", metavar="LABEL=KEY,...", help="Keys of labels, such as fox=1,deer=2.")
@common_options
def review(
    origins: dict[str, SourcedValue],
    verbose: bool,
    queue: str | None,
    port: int | None,
    host: str,
    no_browser: bool,
    reviewer: str | None,
    keys: str | None,
) -> None:
    """Open a page that shows bursts to label by keyboard; Ctrl-C ends it."""
    from pipelines.review.security import is_loopback
    from pipelines.review.server import Options, open_browser, serve
    from pipelines.review.spark_start import start_once

    settings = resolve_secrets(build_settings(origins))

    def start_spark() -> SparkSession:
        from pipelines.spark.session import get_session

        return get_session(settings, verbose=verbose, cache_classes=False)

    running = None
    try:
        with serve(settings, Options(queue, port, host, reviewer, keys), start_once(start_spark)) as running:
            for note in running.notes:
                click.echo(f"review: note: {note}", err=True)
            if not is_loopback(host):
                click.echo(f"review: warning: {OPEN_HOST.format(host)}", err=True)
            click.echo(f"review: {running.url}")
            click.echo("review: press Ctrl-C to end", err=True)
            with nullcontext() if no_browser else open_browser(running.url):
                threading.Event().wait()
    except KeyboardInterrupt as end:
        if running is None:
            raise
        _finish(running)
        if str(end):  # SIGTERM or SIGHUP, which have an exit code of their own
            raise


def _finish(running: Running) -> None:
    """Merge the journals, and say what was stored and what comes next."""
    stored = running.live.decisions.count
    if not stored:
        click.echo("review: no decisions")
        return
    click.echo(f"review: adding {pluralize(stored, 'decision')} from the journal to the table labels", err=True)
    try:
        running.merger.merge()
    except UserError as error:
        click.echo(f"review: note: {error} The decisions are in the journal; `irbis train` adds them.", err=True)
    click.echo(f"review: {pluralize(stored, 'decision')} stored. Next: irbis train")
