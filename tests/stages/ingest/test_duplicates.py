"""Images with the same bytes, under one label or several."""

from __future__ import annotations

from pipelines.stages.ingest import stage as ingest

from ..conftest import changed, jpeg


def test_identical_bytes_under_two_labels_are_named(spark, make_settings, draw):
    same = jpeg(80, 1)
    folder = draw({"fox/a.jpg": same, "hare/b.jpg": same, "hare/c.jpg": same, "hare/d.jpg": jpeg(90, 2)})
    guesses, note = ingest.run(spark, make_settings({"sources.images": str(folder)})).notes
    assert guesses.startswith("station and camera of 4 of 4 images are unknown: 4 without a time are groups of their")
    assert note.startswith("1 image with more than one label left out of training, first ")
    assert f"file://{folder}/fox/a.jpg = file://{folder}/hare/b.jpg" in note


def test_identical_bytes_whose_labels_were_mended_are_not_named(spark, make_settings, draw, tmp_path):
    folder = draw(dict.fromkeys(("a.jpg", "b.jpg"), jpeg(80, 1)))
    labels = tmp_path / "labels.csv"
    settings = make_settings({"sources.images": str(folder), "sources.labels": str(labels)})
    labels.write_text("path,label\na.jpg,fox\nb.jpg,hare\n")
    assert len(ingest.run(spark, settings).notes) == 3
    labels.write_text("path,label\na.jpg,hare\nb.jpg,hare\n")
    assert ingest.run(spark, settings).notes == (
        "labels.csv: label = label, path = path; 2 of 2 images have a label, 0 have none.",
        "1 images got a new label, station or burst.",
        f"1 image with the same bytes as another, first file://{folder}/a.jpg = file://{folder}/b.jpg: each is scored "
        "and counted, and training uses one of them. If a folder exists twice, remove one.",
    )


def test_images_with_the_same_bytes_are_reported(spark, make_settings, draw):
    same = jpeg(90, 1)
    folder = draw({"fox/a.jpg": same, "backup/fox/a.jpg": same, "backup/fox/b.jpg": same, "fox/c.jpg": jpeg(90, 2)})
    settings = make_settings({"sources.images": str(folder)})
    *_, note = ingest.run(spark, settings).notes
    first = f"file://{folder}/backup/fox/a.jpg = file://{folder}/backup/fox/b.jpg"
    assert note == (
        f"2 images with the same bytes as another, first {first}: each is scored and counted, and training uses one of "
        "them. If a folder exists twice, remove one."
    )
    link = folder.parent / "link"
    link.symlink_to(folder)
    *_, note = ingest.run(spark, changed(settings, "sources", images=str(link))).notes
    assert note.startswith("6 images with the same bytes as another, first file://")
