"""The commands `irbis predict` and `irbis export-model`: the served model on this machine, and on others."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.options import common_options, irbis
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.databricks.secrets import resolve_secrets


@irbis.command()
@click.argument("files", metavar="IMAGES...", nargs=-1, required=True)
@click.option(
    "--model",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of `irbis export-model`; default: the champion of the workspace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image and line.")
@common_options
def predict(
    origins: dict[str, SourcedValue], verbose: bool, files: tuple[str, ...], model: Path | None, as_json: bool
) -> int:
    """Predict files, or the images of folders, with the champion; without Spark and tables."""
    from pipelines.stages.predict import Summary, find_images, json_lines, open_predictor, table_lines
    from pipelines.stages.predict import predict as predict_images

    settings = resolve_secrets(build_settings(origins))
    found = find_images(files, settings)
    for note in found.notes:
        click.echo(f"predict: note: {note}", err=True)
    with open_predictor(settings, model, len(found.names)) as predictor:
        description = predictor.description
        summary = Summary(f"{description.model_name}/{description.model_version}")
        rows = summary.count(predict_images(found.names, predictor))
        for line in json_lines(rows) if as_json else table_lines(rows, found.names, description.labels):
            click.echo(line)
    click.echo(summary.closing_line(), err=True)
    return 1 if summary.is_all_failed else 0


@irbis.command("export-model")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@common_options
def export_model(origins: dict[str, SourcedValue], verbose: bool, folder: Path) -> None:
    """Write the champion into a new folder that serves and predicts without this workspace, Spark or a network."""
    from pipelines.stages.export_model import export_model

    click.echo(export_model(folder, resolve_secrets(build_settings(origins))))
