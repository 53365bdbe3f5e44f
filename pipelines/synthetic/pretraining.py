"""The recipe of irbis_tiny's weights: contrastive learning on synthetic images.

    python -m pipelines.synthetic.pretraining --output FILE

The defaults produced the committed weights. The loss matches two random views of an image among all views of the
batch (NT-Xent; Chen et al., 2020, SimCLR); the images are rendered by `pipelines.synthetic.scenes`. Runs with equal
arguments, including the number of threads, on equal machines and versions yield equal weights. Views are compared by
the means of the last stage only, which trains faster than all features (`--compared all`); longer runs were not tried.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as serialized
from torch import Tensor, nn
from torch.nn import functional

from pipelines.backbones.irbis_tiny import FEATURES, WIDTHS, IrbisTiny
from pipelines.prefetch import prefetch_map
from pipelines.synthetic import scenes
from pipelines.synthetic.augmentations import augment

IMAGE_SIZE = 128  # pixels a side as rendered
TEMPERATURE = 0.15
LEARNING_RATE = 1.5e-3
WARM_UP_STEPS = 100
POOLED_STAGES = {"all": slice(None), "last": slice(-2 * WIDTHS[-1], -WIDTHS[-1])}  # features; means of the last stage
DECAY_FRACTION = 0.3  # of the steps, at the end, in which the rate falls to zero


def training_images(count: int, seed: int, folder: Path) -> Tensor:
    """Load the training images, uint8 N x 128 x 128 x 3, from the folder, or render them into it.

    Stored images are used only if their first ones still match newly rendered ones.
    """
    file = folder / f"formulas-{count}-{IMAGE_SIZE}-{seed}.npy"
    if file.exists():
        stored = np.load(file)
        if np.array_equal(stored[:16], scenes.render(min(count, 16), IMAGE_SIZE, seed)):
            return torch.from_numpy(stored)
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npy")
    np.save(partial, scenes.render(count, IMAGE_SIZE, seed))
    partial.replace(file)
    return torch.from_numpy(np.load(file))


class ProjectionHead(nn.Module):
    """A head that projects features onto the unit sphere, where views are compared; discarded after training."""

    def __init__(self, compared: slice, hidden: int = 512, dimensions: int = 128):
        super().__init__()
        self.compared = compared
        self.layers = nn.Sequential(
            nn.Linear(len(range(FEATURES)[compared]), hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dimensions),
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self.layers(features[:, self.compared]))


def contrastive_loss(points: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the NT-Xent loss of 2N points on the unit sphere, of which i and N + i are views of one image."""
    n = len(points) // 2
    similarity = points @ points.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), -1e9)
    return functional.cross_entropy(similarity, torch.arange(2 * n).roll(n))


def learning_rate(step: int, steps: int) -> float:
    """Return the learning rate at a step: a linear warm-up, a plateau, then a cosine decay to zero."""
    decayed = max(0.0, step / steps - (1 - DECAY_FRACTION)) / DECAY_FRACTION
    return LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * decayed))


def train(images: Tensor, steps: int, batch: int, crop: int, seed: int, compared: str = "last") -> IrbisTiny:
    """Train a network on the images, with a line of progress on stderr every 50 steps.

    Weights are initialised from `seed` by the global generator; the views have their own generator.
    """
    torch.manual_seed(seed)
    network = IrbisTiny(batch_norm=True)
    generator = torch.Generator().manual_seed(seed)
    model = (
        nn.Sequential(network, ProjectionHead(POOLED_STAGES[compared])).to(memory_format=torch.channels_last).train()
    )
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=LEARNING_RATE)
    start = time.monotonic()
    with prefetch_map(lambda _: make_view_pairs(images, batch, crop, generator), range(steps), 1, 1) as pairs:
        for step, views in enumerate(pairs):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps)
            loss = contrastive_loss(model(views))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (step + 1) % 50 == 0:
                print(
                    f"step {step + 1}/{steps} loss {loss.item():.3f} {time.monotonic() - start:.0f} s",
                    file=sys.stderr,
                )
    return network.eval()


def make_view_pairs(images: Tensor, batch: int, crop: int, generator: torch.Generator) -> Tensor:
    """Return two views of each of `batch` random images, (2 * batch) x 3 x crop x crop; i and batch + i match."""
    sampled = images[torch.randint(len(images), (batch,), generator=generator)]
    sampled = sampled.permute(0, 3, 1, 2).float() / 255
    return torch.cat([augment(sampled, crop, generator) for _ in range(2)])


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Return the optimizer's parameter groups: weights with weight decay, biases and normalisation without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def save(network: IrbisTiny, output: Path, recipe: dict[str, str]) -> None:
    """Write the network, with batch normalisation folded, as float16 safetensors with the recipe as metadata."""
    state = {name: tensor.half().contiguous() for name, tensor in network.fold_batch_norm().state_dict().items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".partial")
    partial.write_bytes(serialized(state, metadata={"name": "irbis_tiny", "licence": "Apache-2.0", **recipe}))
    partial.replace(output)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse and validate the arguments of the command, so that invalid ones fail before training."""
    parser = argparse.ArgumentParser(description="Train irbis_tiny on synthetic images.")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--images", type=int, default=8192, help="images to render")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=128, help="images per step; each yields two views")
    parser.add_argument("--crop", type=int, default=64, help="pixels a side of a view")
    parser.add_argument(
        "--compared", choices=sorted(POOLED_STAGES), default="last", help="features by which views are compared"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--threads", type=int, default=1, help="weights are reproducible for the same number of threads"
    )
    parser.add_argument("--scratch", type=Path, default=Path("~/.cache/irbis/pretraining").expanduser())
    args = parser.parse_args(argv)
    small = [f"--{n} {vars(args)[n]}" for n in ("images", "steps", "batch", "threads") if vars(args)[n] < 1]
    if args.crop < 32:
        small.append(f"--crop {args.crop} (at least 32)")
    if small:
        parser.error(f"too small: {', '.join(small)}")
    if args.output.is_dir():
        parser.error(f"--output {args.output} is a folder, a file was expected")
    return args


def main(argv: list[str] | None = None) -> None:
    """Render, train and write."""
    args = parse_arguments(argv)
    torch.set_num_threads(args.threads)
    images = training_images(args.images, args.seed, args.scratch)
    network = train(images, args.steps, args.batch, args.crop, args.seed, args.compared)
    names = ("images", "steps", "batch", "crop", "compared", "seed", "threads")
    save(network, args.output, {name: str(getattr(args, name)) for name in names})


if __name__ == "__main__":
    main()
