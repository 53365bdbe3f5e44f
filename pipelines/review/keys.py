"""Which key gives which label: digits first, then letters that no command has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.errors import SettingsError
from pipelines.evaluation.review_policy import is_blank

COMMANDS = "aensupzqh"  # agree, empty, new label, skip, cannot tell, per image, undo, queue, help
DIGITS, LETTERS = "123456789", "bcdfgijklmortvwxy"
BLANK = "blank"  # what E gives where no label means that nothing is visible


@dataclass(frozen=True)
class Keys:
    """Keys by label; `blank` is the label of E."""

    by_label: dict[str, str]
    blank: str


def assign_keys(classes: Sequence[str], labels: Iterable[str], chosen: str | None = None) -> Keys:
    """Return the keys of the model's classes, then of other labels in use, in this order.

    `chosen` is the option --keys: `fox=1,deer=2`. Raises SettingsError for a key that is taken or no key.
    """
    names = list(dict.fromkeys([*classes, *sorted(labels)]))
    blank = next((name for name in names if is_blank(name)), BLANK)
    return extend_keys(Keys(_parse(chosen) if chosen else {}, blank), names)


def extend_keys(keys: Keys, names: Iterable[str]) -> Keys:
    """Return the same keys, and free ones for names that have none, as far as there are any."""
    by_label = dict(keys.by_label)
    free = [key for key in DIGITS + LETTERS if key not in by_label.values()]
    for name in names:
        if name != keys.blank and name not in by_label and free:
            by_label[name] = free.pop(0)
    return Keys(by_label, keys.blank)


def _parse(chosen: str) -> dict[str, str]:
    by_label: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in chosen.split(","))):
        label, _, key = (piece.strip() for piece in part.rpartition("="))
        if not label or len(key) != 1:
            raise SettingsError(f"--keys {part}: expected LABEL=KEY, such as fox=1,deer=2.")
        key = key.lower()
        if key not in DIGITS + LETTERS:
            raise SettingsError(
                f"--keys {part}: {key!r} is not free. Keys are the digits 1 to 9 and the letters {' '.join(LETTERS)}."
            )
        if key in by_label.values():
            raise SettingsError(f"--keys {part}: {key} is given twice.")
        by_label[label] = key
    return by_label
