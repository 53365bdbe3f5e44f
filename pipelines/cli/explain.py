"""The command `irbis explain`: where the model looks, for the images that are asked for."""

from __future__ import annotations

import click

from pipelines.cli.filters import filter_options
from pipelines.cli.options import apply_dataset, common_options, irbis
from pipelines.cli.stages import locked_workspace, print_result
from pipelines.config.loader import SourcedValue
from pipelines.exchange.filters import Filters
from pipelines.runs.package import non_default_settings


@irbis.command()
@click.option("--all", "everything", is_flag=True, help="Also images that need no review.")
@filter_options
@common_options
def explain(
    origins: dict[str, SourcedValue],
    verbose: bool,
    everything: bool,
    filters: Filters,
) -> None:
    """Compute where the model looks in images that need review: a box for each, in the table boxes."""
    from pipelines.exchange.rows import export_rows, find_images_root, select_rows
    from pipelines.runs.recorder import record_run

    words = ["explain", *(["--all"] if everything else []), *filters.to_words()]
    with (
        locked_workspace(("explain",), origins) as settings,
        record_run(words, settings, non_default_settings(origins)[0]) as recorder,
    ):
        from pipelines.spark.session import get_session
        from pipelines.stages.explain import stage
        from pipelines.workspace.tables import Tables

        spark = get_session(settings, verbose=verbose)
        recorder.attach_session(spark)
        settings = apply_dataset(origins, spark, settings)
        tables, selection, notes = Tables.of(spark, settings), None, list[str]()
        if filters != Filters() or settings.sources.images:
            rows, _ = export_rows(tables, settings, find_images_root(tables, settings))
            selected, notes = select_rows(rows.persist(), filters)
            selection = selected.select("path", "content_hash")
        for note in notes:
            click.echo(f"explain: note: {note}", err=True)
        print_result(stage.run(spark, settings, selection, needs_review=not everything), recorder)
