"""Make the lines of media.csv and observations.csv from the exported images, by Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.exchange.camtrap.deployments import Deployment
from pipelines.exchange.camtrap.deployments_file import MISSING
from pipelines.exchange.observation_types import Meanings
from pipelines.exchange.rows import exported_label
from pipelines.sources.camtrap_observations import LABEL_TAG

MEDIA_COLUMNS = (
    *("mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName"),
    *("fileMediatype", "exifData", "favorite", "mediaComments"),
)
OBSERVATION_COLUMNS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel"),
    *("observationType", "cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior"),
    *("individualID", "individualPositionRadius", "individualPositionAngle", "individualSpeed"),
    *("bboxX", "bboxY", "bboxWidth", "bboxHeight", "classificationMethod", "classifiedBy"),
    *("classificationTimestamp", "classificationProbability", "observationTags", "observationComments"),
)
MEDIA_TYPES = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "jpeg"),
    **dict.fromkeys(("tif", "tiff"), "tiff"),
    **dict.fromkeys(("pgm", "ppm"), "x-portable-anymap"),
    **{name: name for name in ("png", "gif", "bmp", "webp", "jp2", "heic", "heif", "avif")},
    "ico": "x-icon",
}
RANKS = {"unclassified": 0, "blank": 1, "unknown": 2}  # of an event's images, the highest counts; the others: 3
LABELS_FILE = "labels file"  # classifiedBy of labels that the images came with
TIME = "yyyy-MM-dd'T'HH:mm:ss"


def find_label(rows: DataFrame) -> DataFrame:
    """Add `shown`, the exported label, and `method`: human, machine or null."""
    shown = exported_label()
    is_human = F.col("is_unknown") | F.col("label").isNotNull()
    method = F.when(is_human, "human").when(shown.isNotNull(), "machine")
    return rows.select("*", method.alias("method"), shown.alias("shown"))


def assign_deployments(rows: DataFrame, deployments: Sequence[Deployment]) -> DataFrame:
    """Add deploymentID and offset, null for images that were taken at no time of a deployment.

    Rows of stations without deployments are left out.
    """
    ddl = "station string, deploymentID string, offset string, since timestamp, until timestamp"
    values = [
        (each.row.station, each.identifier, each.utc_offset, _as_utc(each.since), _as_utc(each.until))
        for each in deployments
    ]
    known = rows.sparkSession.createDataFrame(values, ddl)
    stations = known.groupBy("station").agg(F.collect_list(F.struct("deploymentID", "offset", "since", "until")))
    stations = stations.toDF("station", "deployments")
    found = F.explode_outer(F.filter("deployments", _is_during))  # at most one
    joined = rows.join(F.broadcast(stations), "station").withColumn("found", found)
    return joined.select(*rows.columns, "found.deploymentID", "found.offset")


def add_records(rows: DataFrame, meanings: Meanings, needs_tag: Mapping[str, str]) -> DataFrame:
    """Return one row for each image with the columns of its medium and of its observation.

    `meanings`: observation type and scientific name of each label; `needs_tag`: labels that these do not identify,
    with their tag.
    """
    values = [(label, kind, name, needs_tag.get(label)) for label, (kind, name) in meanings.items()]
    known = rows.sparkSession.createDataFrame(values, "shown string, kind string, name string, tag string")
    rows = rows.join(F.broadcast(known), "shown", "left")
    kind = F.when(F.col("shown").isNotNull(), F.col("kind")).when(F.col("method") == "human", "unknown")
    is_person = F.col("label_source") == "person"
    by_person = F.when(is_person, F.col("reviewer")).otherwise(LABELS_FILE)
    by_model = F.format_string("irbis %s v%s", "model_name", "model_version")
    kind = F.coalesce(kind, F.lit("unclassified"))
    method = F.when(kind != "unclassified", F.col("method"))
    is_human, is_machine = method == "human", method == "machine"
    file_name = F.element_at(F.split("relative_path", "/"), -1)
    seconds = F.date_trunc("second", "captured_at")
    columns = {
        "mediaID": media_id(),
        "filePath": encode_path(F.col("relative_path")),
        "fileName": file_name,
        "fileMediatype": _media_type(file_name),
        "mediaComments": F.concat(F.lit("failure: "), "failure"),
        "eventID": F.coalesce("burst_id", media_id()),
        "at": seconds,
        "kind": kind,
        "method": method,
        "classifiedBy": F.when(is_human, by_person).when(is_machine, by_model),
        "classified_at": F.when(is_human, F.when(is_person, F.col("reviewed_at"))).when(is_machine, F.col("scored_at")),
        "probability": F.when(is_machine, F.col("score")),
        "needs_review": F.coalesce("needs_review", F.lit(False)),
        "comment": F.when(is_human, F.col("comment")),
    }
    kept = ("deploymentID", "offset", "shown", "name", "tag")
    return rows.select(*kept, *[column.alias(name) for name, column in columns.items()])


def add_events(records: DataFrame) -> DataFrame:
    """Add event_start and event_end, and `counts`: whether the image decides the label of its event."""
    event = Window.partitionBy("deploymentID", "eventID")
    rank = F.create_map(*[F.lit(each) for pair in RANKS.items() for each in pair])[F.col("kind")]
    rank = F.coalesce(rank, F.lit(3))
    return records.select(
        "*",
        F.min("at").over(event).alias("event_start"),
        F.max("at").over(event).alias("event_end"),
        (rank == F.max(rank).over(event)).alias("counts"),
    )


def media_lines(records: DataFrame) -> DataFrame:
    """Return the lines of media.csv, in the order of deployment and time."""
    ordered = records.orderBy("deploymentID", "at", "filePath")
    columns = {"timestamp": _local_time("at"), "filePublic": F.lit("false")}
    columns |= {name: F.col(name) for name in MEDIA_COLUMNS if name in records.columns}
    return ordered.select(_csv_line(MEDIA_COLUMNS, columns))


def observation_lines(records: DataFrame) -> DataFrame:
    """Return the lines of observations.csv: one for each image, and one for each event and what was seen in it."""
    images = records.select(
        *_observation(F.col("mediaID"), F.col("mediaID"), "media"),
        *("method", "classifiedBy", "classified_at", "probability", "needs_review", "comment", "at", "filePath"),
    )
    best = F.max(F.struct(F.col("method") == "human", "classified_at", "probability", "method", "classifiedBy"))
    keys = ("deploymentID", "eventID", "kind", "name", "shown", "tag", "offset", "event_start", "event_end")
    events = records.where("counts").groupBy(*keys).agg(best.alias("best"), F.max("needs_review").alias("needs_review"))
    parts = [F.coalesce(name, F.lit("")) for name in ("deploymentID", "eventID", "kind", "name", "shown")]
    identifier = F.concat(F.lit("event-"), F.substring(F.sha2(F.concat_ws("|", *parts), 256), 1, 24))
    events = events.select(
        *_observation(identifier, F.lit(None).cast("string"), "event"),
        *[f"best.{name}" for name in ("method", "classifiedBy", "classified_at", "probability")],
        *("needs_review", F.lit(None).cast("string").alias("comment"), F.col("event_start").alias("at")),
        F.lit("").alias("filePath"),
    )
    # Each event precedes its images.
    rows = images.unionByName(events).orderBy("deploymentID", "event_start", "eventID", "level", "at", "filePath", "id")
    tags = F.concat_ws(" | ", F.when(F.col("needs_review"), "needsReview:true"), "tag")
    columns = {
        "observationID": F.col("id"),
        "eventStart": _local_time("event_start"),
        "eventEnd": _local_time("event_end"),
        "observationLevel": F.col("level"),
        "observationType": F.col("kind"),
        "scientificName": F.col("name"),
        "classificationMethod": F.col("method"),
        "classificationTimestamp": F.concat(F.date_format("classified_at", TIME), F.lit("Z")),
        "classificationProbability": _decimal("probability"),
        "observationTags": tags,
        "observationComments": F.col("comment"),
    }
    columns |= {name: F.col(name) for name in ("deploymentID", "mediaID", "eventID", "classifiedBy")}
    return rows.select(_csv_line(OBSERVATION_COLUMNS, columns))


def media_id() -> Column:
    """Return the id of an image: it depends on its bytes and on its path below the folder of images."""
    content = F.coalesce(F.substring("content_hash", 1, 16), F.lit("unread"))
    return F.concat(content, F.lit("-"), F.substring(F.sha2("relative_path", 256), 1, 12))


def encode_path(path: Column) -> Column:
    """Percent-encode what Camtrap DP does not allow: `.`, `/` or `~` at the beginning, and `..` anywhere.

    Also line breaks, and a path that means a missing value. Other paths stay as they are, unless they have a `%` that
    would be taken for an encoded character.
    """
    forbidden = path.rlike(r"^[./~]|\.\.|[\r\n]|%[0-9A-Fa-f]{2}") | path.isin(*MISSING)
    encoded = F.regexp_replace(path, "%", "%25")
    encoded = F.regexp_replace(encoded, r"^\.|(?<=\.)\.|\.(?=\.)", "%2E")
    for found, code in (("^~", "%7E"), ("^/", "%2F"), (r"\n", "%0A"), (r"\r", "%0D"), ("^N", "%4E"), ("^n", "%6E")):
        encoded = F.regexp_replace(encoded, found, code)
    return F.when(forbidden, encoded).otherwise(path)


def make_tag(label: str) -> str:
    """Return the tag that keeps a label; separators of tags are percent-encoded."""
    return LABEL_TAG + label.replace("%", "%25").replace("|", "%7C")


def _is_during(deployment: Column) -> Column:
    since, until, at = deployment["since"], deployment["until"], F.col("captured_at")
    return (since.isNull() | (at >= since)) & (until.isNull() | (at < until))


def _observation(identifier: Column, media: Column, level: str) -> list[Column]:
    named = {"id": identifier, "mediaID": media, "level": F.lit(level)}
    names = ("deploymentID", "eventID", "kind", "name", "tag", "offset", "event_start", "event_end")
    return [*[column.alias(name) for name, column in named.items()], *map(F.col, names)]


def _local_time(name: str) -> Column:
    return F.concat(F.date_format(name, TIME), "offset")


def _decimal(name: str) -> Column:
    """Return a probability as text, without an exponent."""
    within = F.least(F.greatest(F.col(name), F.lit(0.0)), F.lit(1.0))  # which of null and 0 take 0
    return F.when(F.col(name).isNotNull(), within.cast("decimal(6,5)").cast("string"))


def _media_type(file_name: Column) -> Column:
    suffix = F.lower(F.regexp_extract(file_name, r"\.([^.]+)$", 1))
    known = F.create_map(*[F.lit(each) for pair in MEDIA_TYPES.items() for each in pair])
    return F.concat(F.lit("image/"), F.coalesce(known[suffix], F.lit("x-unknown")))


def _csv_line(names: Sequence[str], columns: Mapping[str, Column]) -> Column:
    """Return one line of CSV, without its end; line breaks in texts become spaces."""
    fields = [_csv_field(columns[name]) if name in columns else F.lit("") for name in names]
    return F.concat_ws(",", *fields).alias("line")


def _csv_field(value: Column) -> Column:
    text = F.regexp_replace(F.coalesce(value, F.lit("")), r"[\r\n]+", " ")
    quoted = F.concat(F.lit('"'), F.regexp_replace(text, '"', '""'), F.lit('"'))
    return F.when(text.rlike(r'[",]|^\s|\s$'), quoted).otherwise(text)


def _as_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=timezone.utc) if moment else None
