"""How a burst votes."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.vote import choose_weight, vote

FRAMES = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]
BURSTS = ["b", "b", "b", "a"]


@pytest.mark.parametrize(
    ("weight", "says"), [(0.0, [0.6, 0.4]), (1.0, [0.9 / 1.7, 0.8 / 1.7]), (0.5, [0.75 / 1.35, 0.6 / 1.35])]
)
def test_a_vote_by_hand(weight, says):
    assert vote(FRAMES, BURSTS, weight) == pytest.approx(np.array([says, says, says, [0.6, 0.4]]))


def test_what_shows_on_one_frame_of_many_is_chosen_to_be_found():
    """Nine bursts of five frames: in each third one a single frame is sure of the rare class."""
    frames = np.full((45, 2), [0.95, 0.05])
    frames[0::15] = [0.05, 0.95]
    bursts = [str(row // 5) for row in range(45)]
    truth = np.array([int(row // 5 % 3 == 0) for row in range(45)])
    assert choose_weight(truth, frames, bursts) == 1.0


def test_what_flickers_is_left_to_the_mean():
    """Every burst has a frame that is wrong and sure of it."""
    frames = np.full((40, 2), [0.8, 0.2])
    frames[20:] = [0.2, 0.8]
    frames[0::5] = frames[0::5, ::-1]
    bursts = [str(row // 5) for row in range(40)]
    assert choose_weight(np.repeat([0, 1], 20), frames, bursts) == 0.0


def test_pictures_that_stand_alone_leave_the_mean():
    frames = np.array(FRAMES)
    assert choose_weight(np.array([0, 1, 0, 0]), frames, list("abcd")) == 0.0
    for weight in (0.0, 0.5, 1.0):
        assert vote(frames, list("abcd"), weight) == pytest.approx(frames)
