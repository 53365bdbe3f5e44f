"""What ingest says of its source: skipped files, images without a station."""

from __future__ import annotations

from pipelines.stages.ingest import stage as ingest
from pipelines.status import as_text, collect_status
from pipelines.workspace.tables import Tables

from ..conftest import NOON, jpeg


def test_every_file_that_is_passed_over_is_counted_at_every_ingest(spark, make_settings, draw):
    image = jpeg(80, 1)
    junk = {"fox/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": image, "fox/.ipynb_checkpoints/1-checkpoint.jpg": image}
    folder = draw({"fox/1.jpg": image, "fox/1.MP4": b"v", "fox/2": image, "fox/Thumbs.db": b"t", **junk})
    settings = make_settings({"sources.images": str(folder)})
    first, second = ingest.run(spark, settings), ingest.run(spark, settings)
    assert (first.read, second.read) == (1, 0)
    assert first.notes[:1] == second.notes == second.persistent_notes
    assert len(second.notes) == 1 and second.notes[0].startswith("skipped 5 of 6 files: 1 video (mp4), 1 file ")
    assert [row["label"] for row in Tables.of(spark, settings).latest_images().collect()] == ["fox"]
    status = collect_status(spark, settings)
    assert (status["missing"]["ingest"], status["passed_over"]) == (0, second.notes[0])
    assert f"not read     {second.notes[0]}" in as_text(status).splitlines()


def test_images_without_a_serial_number_are_counted_where_it_is_the_station(spark, make_settings, draw):
    folder = draw({"a.jpg": jpeg(80, 1), "b.jpg": jpeg(90, 2), "c.jpg": jpeg(99, 3, NOON, camera="SN1"), "d.jpg": b""})
    settings = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    assert len(ingest.run(spark, settings).notes) == 1
    by_serial = {"workspace": f"{settings.workspace}2", "sources.station": "exif", "sources.labels": "none"}
    settings = make_settings({"sources.images": str(folder), **by_serial})
    assert ingest.run(spark, settings).notes == (
        f"2 of 3 images have no serial number that irbis can read, hence no station, first file://{folder}/a.jpg. "
        "Give it by folder or name instead: sources.station=folder:N or regex:PATTERN.",
    )
    assert ingest.run(spark, settings).notes == ()
