"""Canonical form of labels and stations: names that look the same compare equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from pipelines.errors import DataError

# Characters without a shape of their own: Unicode's Default_Ignorable_Code_Point beyond the categories Cc and Cf.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_BLANK = {"\u2800": " "}  # drawn as white space, but a symbol to Unicode
# Words that people, cameras and programs write for an unknown name; compared in lower case.
_UNKNOWN = {"", "?", "??", "-", "--", "n/a", "na", "none", "null", "nil", "unknown", "undefined"}
MAX_EXAMPLES = 5  # labels listed in a message
SPELLING_REMEDY = "Give each class one spelling, or set sources.label_case=lower (keep: they are classes of their own)."


def canonical_text(text: str | None) -> str | None:
    """Return a name in Unicode NFC without invisible characters and with single spaces; None if nothing is left.

    Control, format (zero-width, bidirectional, soft hyphen) and variation characters are removed. White space of any
    kind, no-break space included, separates words. Letters keep their case.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isprintable()):
        text = "".join(_BLANK.get(c, c) for c in _IGNORABLE.sub("", text) if c.isspace() or not _is_control(c))
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split()) or None


def is_unknown_name(name: str) -> bool:
    """Return whether the name of a station or camera means "unknown": `Unknown`, `N/A`, `?`."""
    return name.strip().lower() in _UNKNOWN


def drop_unknown_name(name: str | None) -> str | None:
    """Return the name of a station or camera, or None if it means "unknown"."""
    return None if name is None or is_unknown_name(name) else name


def require_one_spelling(
    counts: Mapping[str, int], remedy: str, by_people: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Raise DataError if labels differ only in case. `counts`: images by label; `by_people`: labelled by a person."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        spellings.setdefault((canonical_text(label) or "").lower(), []).append(label)
    duplicates = [names for names in spellings.values() if len(names) > 1]
    if duplicates:
        examples = [
            " and ".join(f"'{name}' ({_count(counts[name], by_people.get(name, 0))})" for name in names)
            for names in duplicates[:MAX_EXAMPLES]
        ]
        more = f", and {len(duplicates) - MAX_EXAMPLES:,} more" if len(duplicates) > MAX_EXAMPLES else ""
        raise DataError(f"Labels differ only in upper and lower case: {', '.join(examples)}{more}. {remedy}")


def _count(images: int, by_people: int) -> str:
    return f"{images:,} images" + (f", {by_people:,} labelled by people" if by_people else "")


def require_known_labels(
    setting: str, labels: Iterable[str], known_labels: Iterable[str], noun: str, kind: str = "label"
) -> None:
    """Raise DataError if a setting names unknown labels; suggest the closest known ones.

    `noun`: what has labels; `kind`: what they are.
    """
    known = sorted(known_labels)
    by_lower_case = {label.lower(): label for label in known}
    unknown = []
    for label in sorted(set(labels) - set(known)):
        matches = get_close_matches(label.lower(), by_lower_case, 1)
        unknown.append(f"{label} (did you mean {by_lower_case[matches[0]]}?)" if matches else label)
    if unknown:
        shown = f"{', '.join(known[:20])}{f' and {len(known) - 20:,} more' if len(known) > 20 else ''}"
        raise DataError(
            f"{setting} names {', '.join(unknown)}, but no {noun} has that {kind}. The {kind}s are {shown or 'none'}."
        )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")
