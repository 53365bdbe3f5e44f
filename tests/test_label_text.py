"""Labels that look the same are the same; those that differ in case only are refused."""

from __future__ import annotations

import unicodedata

import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import DataError, SettingsError
from pipelines.label_text import canonical_text, require_known_labels, require_one_spelling


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("leopard", "leopard"),
        ("Leopard", "Leopard"),
        ("  snow \t leopard\n", "snow leopard"),
        ("snow\u00a0leopard", "snow leopard"),  # no-break space
        ("snow\u2003\u3000leopard", "snow leopard"),
        ("leopard\u200b", "leopard"),  # zero-width space
        ("\ufeffleo\u00adpard\u2060", "leopard"),  # byte order mark, soft hyphen, word joiner
        ("\u202aleopard\u202c", "leopard"),  # bidirectional embedding
        ("leo\x00pard\x7f", "leopard"),
        ("leopard\ufe0f", "leopard"),  # variation selector
        (unicodedata.normalize("NFD", "jaguaré"), "jaguaré"),
        ("e\u034f\u0301", "é"),  # a grapheme joiner would keep the two apart
        ("\u1ec7", "\u1ec7"),
        ("²", "²"),  # NFC, not NFKC
        ("ペルシャ", "ペルシャ"),
        ("\u200b \u2800\u3164", None),
        ("", None),
        (None, None),
    ],
)
def test_invisible_characters_and_white_space_make_no_other_name(text, canonical):
    assert canonical_text(text) == canonical


def test_labels_that_differ_in_case_only_are_refused_with_their_counts():
    require_one_spelling({"leopard": 3, "leopards": 1}, "")
    with pytest.raises(DataError) as raised:
        require_one_spelling({"leopard": 1200, "fox": 4, "Leopard": 7, "LEOPARD": 1, "Fox": 2}, "Do this.")
    assert str(raised.value) == (
        "Labels differ only in upper and lower case: 'Fox' (2 images) and 'fox' (4 images), "
        "'LEOPARD' (1 images) and 'Leopard' (7 images) and 'leopard' (1,200 images). Do this."
    )


def test_labels_of_people_are_named_as_such():
    with pytest.raises(DataError) as raised:
        require_one_spelling({"fox": 1200, "Fox": 3}, "Do this.", {"Fox": 2, "hare": 4})
    assert "'Fox' (3 images, 2 labelled by people) and 'fox' (1,200 images). Do this." in str(raised.value)


def test_of_many_pairs_the_first_five_are_named():
    counts = {name: 1 for i in range(8) for name in (f"a{i}", f"A{i}")}
    with pytest.raises(DataError, match=r"'A4' \(1 images\) and 'a4' \(1 images\), and 3 more\. Do"):
        require_one_spelling(counts, "Do this.")


def test_a_label_that_is_not_known_is_refused_with_the_nearest_one():
    require_known_labels("train.x", ["fox"], ["fox", "hare"], "image")
    with pytest.raises(DataError) as raised:
        require_known_labels("train.x", ["Fox", "hares", "zebra", "fox"], ["fox", "hare"], "image")
    assert str(raised.value) == (
        "train.x names Fox (did you mean fox?), hares (did you mean hare?), zebra, but no image has that label. "
        "The labels are fox, hare."
    )


@pytest.mark.parametrize("key", ["train.exclude_labels", "train.classes_of_interest"])
def test_labels_of_settings_are_compared_in_the_same_form(key):
    section, _, name = key.partition(".")
    given = load_settings(None, {key: ["snow\u00a0leopard", "fox\u200b", 3]})
    assert getattr(getattr(given, section), name) == ["snow leopard", "fox", "3"]
    with pytest.raises(SettingsError, match=r"no visible character"):
        load_settings(None, {key: ["\u200b"]})
