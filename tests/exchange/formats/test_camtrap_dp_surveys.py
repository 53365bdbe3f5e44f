"""Camtrap DP of whole surveys: the sample set and real images, from ingest to the package and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pipelines.demo.sample_set import render_sample_set
from pipelines.exchange.formats.base import Export
from pipelines.exchange.formats.camtrap_dp import export
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import read_label_table
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..camtrap_validators import validate
from ..export_rows import COLUMNS, NOW

SCHEMAS = Path(__file__).resolve().parents[3] / ".." / "shared" / "schemas" / "camtrap-dp"
LABELLED = ["path", "label", "station", "captured_at"]


def export_survey(spark, settings, folder: Path, root: str) -> Tables:
    """Ingest the images of a survey and export them with the labels that they came with."""
    ingest.run(spark, settings)
    tables = Tables.of(spark, settings)
    images = tables.latest_images()
    known = {
        "relative_path": F.expr(f"substring(path, {len(f'file://{root}/') + 1})"),
        "label_source": F.when(F.col("label").isNotNull(), "source"),
        "is_unknown": F.lit(False),
    } | {name: F.col(name) for name in images.columns}
    rows = images.select(*[known.get(name, F.lit(None)).cast(kind).alias(name) for name, kind in COLUMNS.items()])
    folder.mkdir()
    export(Export(rows.persist(), folder, settings, NOW, folder.name))
    return tables


@pytest.mark.parametrize("survey", ["sample", "cameratrap_peru_sdzg"])
def test_a_survey_is_valid_and_comes_back_as_labels_file(spark, make_settings, tmp_path, shared_data, survey):
    if survey == "sample":
        sample = render_sample_set(tmp_path / "sample", images=60, seed=3)
        images, labels, stations = (
            sample.images_folder,
            sample.labels_csv,
            sorted(path.name for path in sample.images_folder.iterdir()),
        )
    else:
        images, stations = shared_data / survey, ["S90"]
        labels = images / "labels.csv"
    lines = "".join(f'"{station}",{-12.5 + i / 7},{i},Europe/Berlin\n' for i, station in enumerate(stations))
    (tmp_path / "stations.csv").write_text(f"station,latitude,longitude,timezone\n{lines}")
    sources = {"sources.images": str(images), "sources.labels": str(labels), "sources.station": "folder:1"}
    settings = make_settings({**sources, "export.deployments": str(tmp_path / "stations.csv")})
    tables = export_survey(spark, settings, tmp_path / "out", str(images))
    assert validate(tmp_path / "out", SCHEMAS.resolve()) == []

    paths = [row["path"] for row in tables.latest_images().select("path").collect()]
    root = f"file://{images}/"
    table = read_label_table(str(tmp_path / "out"))
    found, _ = match_labels(table, [path.removeprefix(root) for path in paths], root)
    found = found[found["label"].notna()].assign(captured_at=found["captured_at"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    labelled = tables.latest_images().where("label is not null and captured_at is not null and station is not null")
    time = F.date_format("captured_at", "yyyy-MM-dd HH:mm:ss").alias("captured_at")
    expected = sorted(map(tuple, labelled.select("path", "label", "station", time).collect()))
    assert expected and sorted((root + row[0], *row[1:]) for row in found[LABELLED].itertuples(index=False)) == expected
