"""Split the images of each camera into windows that share a background."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.feature_ids import region_view
from pipelines.workspace.pending import lacking_parts
from pipelines.workspace.tables import ROW_KEY, Tables

WINDOW_IMAGES = 256  # of one background: bounds memory, and follows seasons and a camera that was moved
CAMERA = ["station", "camera", "width", "height"]  # images that share them have one background, by day and by night
CONTENT = ["size", "content_path", "content_at"]


def images_to_locate(pending: DataFrame, view: str) -> DataFrame:
    """Return content_hash, path, ingested_at of the readable pending images that lack features of a region view."""
    parts = sorted(part for part in lacking_parts(pending) if region_view(part) == view)
    is_lacking = F.arrays_overlap("lacking", F.array(*map(F.lit, parts)).cast("array<string>"))
    return pending.where(F.col("failure").isNull() & is_lacking).select("content_hash", *ROW_KEY)


def camera_windows(tables: Tables, new: DataFrame, chunk_images: int) -> DataFrame:
    """Return the windows with new images: content_hash, path, ingested_at, camera_key, window, chunk, is_new ...

    `new`: materialized content_hash, path, ingested_at. The images of a camera (one station, camera and image size) are
    cut in the order of capture into windows of equal size, up to WINDOW_IMAGES, of which those with a new image are
    returned. Located images are in them for the background only. Windows depend on the set of images, not on which are
    located, so that a killed and repeated run finds the same crops. `chunk` numbers the commits: whole windows, about
    `chunk_images` images. Images of unknown station and camera are left out.
    """
    has_camera = "station is not null or camera is not null"
    images = tables.latest_images().where("content_hash is not null and failure is null").where(has_camera)
    columns = ["captured_at", *ROW_KEY, *CAMERA, *CONTENT]
    first = F.min(F.struct(*[column for column in columns if column != "captured_at"], "captured_at"))
    camera_key = F.to_json(F.struct(*CAMERA))
    rows = images.groupBy("content_hash").agg(first.alias("row")).select("content_hash", "row.*")
    rows = rows.join(new.select("content_hash", F.lit(True).alias("is_new")), "content_hash", "left")
    rows = rows.withColumn("is_new", F.coalesce("is_new", F.lit(False))).withColumn("camera_key", camera_key)
    by_camera = Window.partitionBy("camera_key")
    ordered = by_camera.orderBy(F.col("captured_at").asc_nulls_last(), "path")
    rows = rows.withColumn("images", F.count("*").over(by_camera))
    rows = rows.withColumn("number", F.row_number().over(ordered) - 1)
    windows = F.ceil(F.col("images") / WINDOW_IMAGES)
    rows = rows.withColumn("window", F.floor(F.col("number") * windows / F.col("images")).cast("int"))
    has_new = F.max("is_new").over(Window.partitionBy("camera_key", "window"))
    rows = rows.withColumn("has_new", has_new).where("has_new").drop("has_new", "images", "number")
    rows = tables.materialize(rows)
    return rows.join(F.broadcast(_chunks(rows, chunk_images)), ["camera_key", "window"])


def _chunks(rows: DataFrame, chunk_images: int) -> DataFrame:
    """Return camera_key, window, chunk: windows in order, a new chunk at every multiple of `chunk_images` images."""
    windows = rows.groupBy("camera_key", "window").agg(F.count("*").alias("images"))
    before = Window.orderBy("camera_key", "window").rowsBetween(Window.unboundedPreceding, -1)
    before_images = F.coalesce(F.sum("images").over(before), F.lit(0))
    return windows.select("camera_key", "window", F.floor(before_images / chunk_images).cast("int").alias("chunk"))
