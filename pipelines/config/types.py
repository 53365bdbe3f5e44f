"""Field types of settings: how texts are parsed, and which values are rejected."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pipelines.azure_uri import to_hadoop_uri
from pipelines.feature_ids import MOTION, VIEW_IDS, WHOLE
from pipelines.label_text import canonical_text
from pipelines.redaction import redact


def split_commas(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return [value]
    if not isinstance(value, str):
        return value
    try:
        listed = json.loads(value)  # ["a, b", "c"]
    except ValueError:
        listed = None
    if isinstance(listed, list):
        return listed
    return [word for part in value.strip("[] ").split(",") if (word := part.strip().strip("\"'"))]


def parse_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def parse_mapping(value: Any) -> Any:
    """Parse a mapping from JSON text; return other values unchanged. Raises ValueError."""
    value = parse_json(value)
    for name, item in value.items() if isinstance(value, dict) else ():
        if not isinstance(item, (str, int, float)):
            shown = json.dumps(redact({name: item})[name], default=str)
            raise ValueError(f"'{name}' should be text, a number, true or false, not {shown}")
    return value


def validate_fractions(fractions: list[float]) -> list[float]:
    if abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"train, validation and test must sum to 1, not {sum(fractions):g}")
    return fractions


def normalize_scheme(address: str) -> str:
    """Write dbfs:/x as dbfs:///x and file:///x as /x, so that `://` says what is not a local folder."""
    address = re.sub(r"^file:(//)?(?=/)", "", address)
    return re.sub(r"^([a-z][a-z0-9+.-]+):/(?!/)", r"\1:///", address)


def validate_station(rule: str) -> str:
    if rule.startswith("regex:"):
        try:
            groups = re.compile(rule[len("regex:") :]).groups
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        if not groups:
            raise ValueError("the pattern should have a group, such as regex:/(S[0-9]+)_")
    elif rule not in ("none", "exif") and not re.fullmatch(FOLDER_RULE, rule):
        raise ValueError("expected none, exif, folder:N (from 1; -1 is the last) or regex:PATTERN")
    return rule


def validate_labels(rule: str) -> str:
    if not rule or (rule.startswith("folder:") and not re.fullmatch(FOLDER_RULE, rule)):
        raise ValueError("expected folder, folder:N (from 1; -1 is the last), none or a file")
    return rule


def validate_label(label: str) -> str:
    """Return a label in its canonical form, as tables hold it."""
    found = canonical_text(label)
    if found is None:
        raise ValueError(f"expected a label, not {label!r}, which has no visible character")
    return found


def validate_columns(columns: dict[str, str]) -> dict[str, str]:
    unknown = sorted(set(columns) - set(LABEL_COLUMNS))
    if unknown:
        raise ValueError(f"it names {unknown[0]!r}; expected {', '.join(LABEL_COLUMNS)}")
    empty = [name for name in ("path", "label") if columns.get(name) == ""]
    if empty:
        raise ValueError(f"{empty[0]} needs the name of a column")
    return columns


def validate_host(text: str) -> str:
    if not re.fullmatch(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+", text.lower()):
        raise ValueError(f"expected the name of a host, such as storage.example.org, not {text!r}")
    return text.lower()


def validate_recall(recall: float) -> float:
    if recall not in (0.99, 0.95):
        raise ValueError("expected 0.99 or 0.95: of these `irbis train` measures what they cost")
    return recall


def validate_folds(folds: int) -> int:
    if folds == 1:
        raise ValueError("expected 2 or more, or 0 for the one validation split")
    return folds


def validate_views(views: list[str]) -> list[str]:
    unknown = [view for view in views if view not in (WHOLE, *VIEW_IDS)]
    if unknown:
        raise ValueError(f"it names {unknown[0]!r}; expected {', '.join((WHOLE, *VIEW_IDS))}")
    if views[:1] != [WHOLE]:
        raise ValueError(f"the first view is {WHOLE}, such as {WHOLE},{MOTION}")
    if len(set(views)) < len(views):
        raise ValueError("a view is repeated, which adds nothing")
    return views


def validate_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value.lower()):
        raise ValueError(f"'{value}' is no SHA-256 of 64 hexadecimal digits, as sha256sum writes it")
    return value.lower()


LABEL_COLUMNS = ("path", "label", "station", "camera", "captured_at", "sequence")
FOLDER_RULE = r"folder:-?[1-9]\d*"
Text = Annotated[str, Field(min_length=1)]
StorageUri = Annotated[Text, AfterValidator(normalize_scheme), AfterValidator(to_hadoop_uri)]
StringList = Annotated[list[Annotated[str, Field(coerce_numbers_to_str=True)]], BeforeValidator(split_commas)]
Hosts = Annotated[list[Annotated[str, AfterValidator(validate_host)]], BeforeValidator(split_commas)]
Digests = Annotated[list[Annotated[str, AfterValidator(validate_sha256)]], BeforeValidator(split_commas)]
Label = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(validate_label)]
Labels = Annotated[list[Label], BeforeValidator(split_commas)]
Fractions = Annotated[
    list[Annotated[float, Field(gt=0, lt=1)]],
    Field(min_length=3, max_length=3),
    BeforeValidator(split_commas),
    AfterValidator(validate_fractions),
]
Fraction = Annotated[float, Field(ge=0, lt=1)]
