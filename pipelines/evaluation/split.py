"""Split images into train, validation and test by a hash of group_id, which never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

SPLITS = ("train", "validation", "test")
HASH_BUCKETS = 1_000_000
Counts = Mapping[str, Mapping[str, tuple[int, int]]]  # of images and of groups, by label and split


def assign_split(group_id: Column, fractions: Sequence[float], salt: str) -> Column:
    """Return train, validation or test for a group, independent of all other groups.

    The split is the SHA-256 of salt and group, read as a number: the same in every Spark version, cluster and run.
    """
    digest = F.sha2(F.concat(F.lit(f"{salt}:"), group_id), 256)
    bucket = F.conv(F.substring(digest, 1, 12), 16, 10).cast("long") % HASH_BUCKETS
    train, validation, _ = fractions
    return (
        F.when(bucket < round(train * HASH_BUCKETS), SPLITS[0])
        .when(bucket < round((train + validation) * HASH_BUCKETS), SPLITS[1])
        .otherwise(SPLITS[2])
    )


def find_split(group_id: str, fractions: Sequence[float], salt: str) -> str:
    """Return the split of one group, as `assign_split`."""
    bucket = int(sha256(f"{salt}:{group_id}".encode()).hexdigest()[:12], 16) % HASH_BUCKETS
    train, validation, _ = fractions
    if bucket < round(train * HASH_BUCKETS):
        return SPLITS[0]
    return SPLITS[1] if bucket < round((train + validation) * HASH_BUCKETS) else SPLITS[2]


_LABELLED = "failure is null and label is not null and content_hash is not null"


def conflicting_labels(images: DataFrame) -> DataFrame:
    """Return content_hash, labels and paths of identical readable bytes with more than one label."""
    labelled = images.where(_LABELLED)
    grouped = labelled.groupBy("content_hash").agg(
        F.array_sort(F.collect_set("label")).alias("labels"),
        F.array_sort(F.collect_set("path")).alias("paths"),
    )
    return grouped.where(F.size("labels") > 1)


def labelled_images(images: DataFrame, exclude: Sequence[str] = (), also: Sequence[str] = ()) -> DataFrame:
    """Return path, content_hash, label, group_id, burst_id of the images for training: one row per content_hash.

    `also` names more columns to keep. Left out: unreadable and unlabelled images, excluded labels, and identical bytes
    under different labels. Of copies the first by path is kept, so that no bytes are on two sides of a split.
    """
    usable = images.where(_LABELLED)
    copies = usable.groupBy("content_hash").agg(
        F.min(F.struct("path", "label", "group_id", "burst_id", *also)).alias("first"),
        F.min("label").alias("one"),
        F.max("label").alias("other"),
    )
    rows = copies.where("one = other").select("content_hash", "first.*")
    return rows.where(~F.col("label").isin(list(exclude))) if exclude else rows


def count_by_split(labels: Sequence[str], splits: Sequence[str], groups: Sequence[str]) -> Counts:
    """Count images and groups by label and split, in the order of their names."""
    members: dict[tuple[str, str], list[str]] = {}
    for label, split, group in zip(labels, splits, groups, strict=True):
        members.setdefault((label, split), []).append(group)
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for (label, split), found in sorted(members.items()):
        counts.setdefault(label, {})[split] = len(found), len(set(found))
    return counts


def split_size(counts: Counts, split: str) -> int:
    """Return the number of images in a split."""
    return sum(by_split[split][0] for by_split in counts.values() if split in by_split)
