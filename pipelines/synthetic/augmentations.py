"""Random augmentations for contrastive training: crops, colour jitter, blur and noise, for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from pipelines.backbones.irbis_tiny import MEAN, STD

GREY = torch.tensor([0.299, 0.587, 0.114])


def augment(images: Tensor, size: int, generator: Generator) -> Tensor:
    """Return one random view of each image: float32 N x 3 x H x W in 0..1 to N x 3 x size x size, normalised."""
    view = jitter_color(random_crop(images, size, generator), generator)
    view = random_blur(view, generator).clamp(0, 1)
    strength = uniform(generator, 0, 0.04, len(view), 1, 1, 1)
    view = view + torch.randn(view.shape, generator=generator) * strength
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((view - mean) / std).contiguous(memory_format=torch.channels_last)


def uniform(generator: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Return uniform random numbers between `low` and `high`."""
    return torch.rand(*shape, generator=generator) * (high - low) + low


def random_crop(images: Tensor, size: int, generator: Generator) -> Tensor:
    """Return a crop of 15 to 100 % of each image's area, aspect 9:16 to 16:9; half of them are flipped."""
    n = len(images)
    side = uniform(generator, 0.15, 1, n).sqrt()
    aspect = torch.exp(uniform(generator, -0.29, 0.29, n))
    width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = width * torch.where(uniform(generator, 0, 1, n) < 0.5, -1.0, 1.0)
    theta[:, 0, 2] = uniform(generator, -1, 1, n) * (1 - width)
    theta[:, 1, 1] = height
    theta[:, 1, 2] = uniform(generator, -1, 1, n) * (1 - height)
    grid = functional.affine_grid(theta, [n, 3, size, size], align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False, padding_mode="reflection")


def jitter_color(images: Tensor, generator: Generator) -> Tensor:
    """Jitter saturation (a fifth becomes grey), hue, contrast and brightness about each image's mean colour."""
    n = len(images)
    saturation = uniform(generator, 0.36, 1.64, n, 1, 1)
    saturation = torch.where(uniform(generator, 0, 1, n, 1, 1) < 0.2, torch.zeros(1), saturation)
    matrix = GREY.expand(3, 3) * (1 - saturation) + torch.eye(3) * saturation
    matrix = hue_rotation(uniform(generator, -0.6, 0.6, n)) @ matrix
    matrix = matrix * torch.exp(uniform(generator, -0.6, 0.6, n, 1, 1))
    brightness = uniform(generator, -0.25, 0.25, n, 1, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    return torch.einsum("nij,njhw->nihw", matrix, images - mean) + mean + brightness


def hue_rotation(angles: Tensor) -> Tensor:
    """Return the rotations of RGB about the grey axis: N angles to N x 3 x 3."""
    k = 3**-0.5
    cross = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]])
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    return torch.eye(3) * cosine + (1 - cosine) / 3 + sine * cross


def random_blur(images: Tensor, generator: Generator, fraction: float = 0.25) -> Tensor:
    """Blur a random `fraction` of the images with a Gaussian of 0.4 to 1.3 pixels."""
    selected = uniform(generator, 0, 1, len(images)) < fraction
    n, size = int(selected.sum()), images.shape[-1]
    if n == 0:
        return images
    sigma = uniform(generator, 0.4, 1.3, n, 1)
    kernel = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    channels = images[selected].reshape(1, n * 3, size, size)
    channels = functional.conv2d(channels, kernel.view(-1, 1, 5, 1), padding=(2, 0), groups=n * 3)
    channels = functional.conv2d(channels, kernel.view(-1, 1, 1, 5), padding=(0, 2), groups=n * 3)
    images = images.clone()
    images[selected] = channels.view(n, 3, size, size)
    return images
