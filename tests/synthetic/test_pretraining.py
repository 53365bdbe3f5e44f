"""The recipe of irbis_tiny: loss, schedule, augmentations, and a short run of the whole command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.backbones.irbis_tiny import IrbisTiny
from pipelines.synthetic import pretraining, scenes
from pipelines.synthetic.augmentations import augment, hue_rotation, jitter_color


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    """Restore the number of threads, which the recipe sets for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_loss_is_small_when_views_of_one_image_meet_and_large_when_they_are_swapped() -> None:
    points = torch.eye(4)
    met = pretraining.contrastive_loss(torch.cat([points, points]), temperature=0.1)
    swapped = pretraining.contrastive_loss(torch.cat([points, points.roll(1, 0)]), temperature=0.1)
    assert met.item() == pytest.approx(6 * np.exp(-10), rel=1e-2)
    assert swapped.item() > 9


def test_comparing_the_last_stage_uses_its_means() -> None:
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network = IrbisTiny()
        two = network.stage2(network.stage1(network.stem(images)))
        means = network.stage3(two).mean(dim=(2, 3))
        assert torch.allclose(network(images)[:, pretraining.POOLED_STAGES["last"]], means)


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    rates = [pretraining.learning_rate(step, 1000) for step in (0, 99, 600, 850, 999)]
    full = pretraining.LEARNING_RATE
    assert rates[:4] == pytest.approx([full / 100, full, full, full / 2])
    assert rates[4] < full * 1e-3


def test_views_have_the_requested_size_and_change_with_the_generator() -> None:
    images = torch.rand(6, 3, 32, 32)
    first, again = (augment(images, 24, torch.Generator().manual_seed(3)) for _ in range(2))
    other = augment(images, 24, torch.Generator().manual_seed(4))
    assert first.shape == (6, 3, 24, 24)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rotating_the_hue_keeps_grey_and_a_third_of_a_turn_permutes_the_channels() -> None:
    third = hue_rotation(torch.tensor([2 * torch.pi / 3]))[0]
    assert torch.allclose(third @ torch.ones(3), torch.ones(3), atol=1e-6)
    assert torch.allclose(third @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


def test_recolouring_leaves_a_flat_grey_image_flat() -> None:
    changed = jitter_color(torch.full((5, 3, 8, 8), 0.5), torch.Generator().manual_seed(0))
    assert changed.std(dim=(1, 2, 3)).max().item() < 1e-6


def test_the_recipe_run_twice_gives_equal_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "TEXTURES", 4)
    monkeypatch.setattr(scenes, "FRACTALS", 4)
    files = [tmp_path / "one.safetensors", tmp_path / "two" / "two.safetensors"]
    for file in files:
        size = ["--images", "8", "--steps", "2", "--batch", "4", "--crop", "32"]
        pretraining.main(["--output", str(file), "--scratch", str(tmp_path / file.stem), *size])
    one, two = (load_file(file) for file in files)
    assert one.keys() == IrbisTiny().state_dict().keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    torch.manual_seed(1)
    untrained = IrbisTiny(batch_norm=True).fold_batch_norm().state_dict()
    assert any(not torch.equal(one[name], untrained[name].half()) for name in one)


def test_stored_images_of_other_formulas_are_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "TEXTURES", 4)
    monkeypatch.setattr(scenes, "FRACTALS", 4)
    first = pretraining.training_images(2, 1, tmp_path)
    assert torch.equal(pretraining.training_images(2, 1, tmp_path), first)
    monkeypatch.setattr(scenes, "TEXTURES", 5)
    assert not torch.equal(pretraining.training_images(2, 1, tmp_path), first)


def test_arguments_that_cannot_work_end_the_command_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--steps", "0"], ["--crop", "8"], ["--images", "-1"]):
        with pytest.raises(SystemExit):
            pretraining.main(["--output", str(tmp_path / "x"), *wrong])
        assert f"{wrong[0]} {wrong[1]}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        pretraining.main(["--output", str(tmp_path)])
    assert "is a folder" in capsys.readouterr().err
