"""The command `irbis detect`: boxes by a detector that the user brings."""

from __future__ import annotations

import click

from pipelines.cli.options import common_options, irbis
from pipelines.cli.stages import run_stages
from pipelines.config.loader import SourcedValue


@irbis.command()
@click.option("--detector", metavar="FILE", help="The detector, an ONNX (.onnx) or OpenVINO (.xml) file.")
@common_options
def detect(origins: dict[str, SourcedValue], verbose: bool, detector: str | None) -> None:
    """Find animals, people and vehicles with a detector that you bring: boxes in the table detections."""
    if detector is not None:
        origins = {**origins, "detect.detector": SourcedValue(detector, "--detector")}
    run_stages(("detect",), origins, verbose)
