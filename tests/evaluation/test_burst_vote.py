"""How a burst votes."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.burst_vote import aggregate_burst, choose_weight

FRAMES = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]
BURSTS = ["b", "b", "b", "a"]


@pytest.mark.parametrize(
    ("weight", "says"), [(0.0, [0.6, 0.4]), (1.0, [0.9 / 1.7, 0.8 / 1.7]), (0.5, [0.75 / 1.35, 0.6 / 1.35])]
)
def test_a_vote_by_hand(weight, says):
    assert aggregate_burst(FRAMES, BURSTS, weight) == pytest.approx(np.array([says, says, says, [0.6, 0.4]]))


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


def test_bursts_of_contradicting_images_do_not_vote():
    """Six cameras taken for one: every burst holds three species, each image sure of its own."""
    truth = np.tile([0, 1, 2], 20)
    own = np.full((60, 3), 0.1)
    own[np.arange(60), truth] = 0.8
    assert choose_weight(truth, own, [str(row // 3) for row in range(60)]) is None
    assert aggregate_burst(own, ["b"] * 60, None).tolist() == own.tolist()


def test_a_vote_with_the_lower_log_loss_but_fewer_right_predictions_is_not_chosen():
    """Of three frames one is sure and wrong: the mean is less wrong there, and takes the other two with it."""
    own = np.tile([[0.6, 0.4], [0.6, 0.4], [1e-6, 1 - 1e-6]], (10, 1))
    truth, bursts = np.zeros(30, dtype=np.int64), [str(row // 3) for row in range(30)]
    losses = [-np.log(aggregate_burst(own, bursts, weight)[:, 0]).mean() for weight in (0.0, None)]
    assert losses[0] < losses[1] and aggregate_burst(own, bursts, 0.0)[0].argmax() == 1
    assert choose_weight(truth, own, bursts) is None


def test_images_that_stand_alone_leave_the_mean():
    frames = np.array(FRAMES)
    assert choose_weight(np.array([0, 1, 0, 0]), frames, list("abcd")) == 0.0
    for weight in (0.0, 0.5, 1.0):
        assert aggregate_burst(frames, list("abcd"), weight) == pytest.approx(frames)
