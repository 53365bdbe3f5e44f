"""Keys of labels."""

from __future__ import annotations

import pytest

from pipelines.errors import SettingsError
from pipelines.review.keys import COMMANDS, DIGITS, LETTERS, assign_keys


def test_classes_of_the_model_come_first_then_other_labels_and_the_blank_one_has_e():
    keys = assign_keys(("ibex", "Empty", "fox"), ["otter", "fox", "deer"])
    assert (keys.by_label, keys.blank) == ({"ibex": "1", "fox": "2", "deer": "3", "otter": "4"}, "Empty")
    assert assign_keys((), []).blank == "blank"


def test_letters_follow_the_digits_and_no_key_has_two_meanings():
    names = [f"class {number:02}" for number in range(40)]
    keys = assign_keys(names, []).by_label
    assert [keys[name] for name in names[8:12]] == ["9", "b", "c", "d"]
    assert len(keys) == len(set(keys.values())) == len(DIGITS + LETTERS)
    assert not set(LETTERS) & set(COMMANDS)
    assert len(set(LETTERS)) == len(LETTERS) and len(set(COMMANDS)) == len(COMMANDS)


def test_chosen_keys_are_kept_and_the_others_move():
    keys = assign_keys(("blank", "fox", "hare"), ["deer"], "deer=1, snow hare=B,fox=f")
    assert keys.by_label == {"deer": "1", "snow hare": "b", "fox": "f", "hare": "2"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("fox", "--keys fox: expected LABEL=KEY, such as fox=1,deer=2."),
        ("fox=12", "--keys fox=12: expected LABEL=KEY, such as fox=1,deer=2."),
        ("fox=1,deer=1", "--keys deer=1: 1 is given twice."),
        ("fox=u", "--keys fox=u: 'u' is not free. Keys are the digits 1 to 9 and the letters b c d f"),
    ],
)
def test_wrong_keys(chosen, message):
    with pytest.raises(SettingsError) as raised:
        assign_keys(("fox",), [], chosen)
    assert str(raised.value).startswith(message)
