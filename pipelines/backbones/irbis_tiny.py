"""The packaged backbone: a small residual network, trained on synthetic images (see `synthetic.pretraining`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SIZE = 160  # pixels a side; any size from 32 up works
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
WIDTHS = (24, 40, 88, 160)  # channels after the stem and each halving
FEATURES = 2 * sum(WIDTHS[1:])


class IrbisTiny(nn.Module):
    """A small residual network: normalised images N x 3 x H x W in, features N x 576 out.

    Features are mean and standard deviation over the image of each channel of the last three stages
    (statistics pooling): the deviation distinguishes textures with the same mean.

    Without batch normalisation, as stored, training and evaluation mode give the same features; every tensor
    of the state is floating point. `batch_norm=True` builds the network for training; `fold_batch_norm` removes it.
    """

    def __init__(self, batch_norm: bool = False):
        super().__init__()
        stem, one, two, three = WIDTHS
        self.stem = Convolution(3, stem, 5, 2, batch_norm)
        self.stage1 = Convolution(stem, one, 3, 2, batch_norm)
        self.stage2 = nn.Sequential(Convolution(one, two, 3, 2, batch_norm), Residual(two, batch_norm))
        self.stage3 = nn.Sequential(Convolution(two, three, 3, 2, batch_norm), Residual(three, batch_norm))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        one = self.stage1(self.stem(images))
        two = self.stage2(one)
        return torch.cat([pool_mean_std(maps) for maps in (one, two, self.stage3(two))], dim=1)

    def fold_batch_norm(self) -> IrbisTiny:
        """Return the same network with its batch normalisation folded into the convolutions."""
        plain = IrbisTiny()
        for source, target in zip(self.modules(), plain.modules(), strict=True):
            if isinstance(source, Convolution) and isinstance(target, Convolution):
                source.fold_into(target)
        return plain.eval()


class Convolution(nn.Module):
    """A convolution, followed by batch normalisation if `batch_norm` and by ReLU if `rectify`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, batch_norm: bool, rectify: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.rectify = rectify

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.norm(self.conv(maps))
        return torch.relu(maps) if self.rectify else maps

    @torch.no_grad()
    def fold_into(self, plain: Convolution) -> None:
        """Write the weights and bias of the equivalent convolution without normalisation into `plain`."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
            raise TypeError("fold_into needs a convolution with batch normalisation")
        assert plain.conv.bias is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        plain.conv.weight.copy_(self.conv.weight * scale[:, None, None, None])
        plain.conv.bias.copy_(norm.bias - norm.running_mean * scale)


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int, batch_norm: bool):
        super().__init__()
        self.first = Convolution(channels, channels, 3, 1, batch_norm)
        self.second = Convolution(channels, channels, 3, 1, batch_norm, rectify=False)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(maps + self.second(self.first(maps)))


def pool_mean_std(maps: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel: N x C x H x W to N x 2C."""
    variance = maps.var(dim=(2, 3), unbiased=False)
    return torch.cat([maps.mean(dim=(2, 3)), torch.sqrt(variance + 1e-5)], dim=1)
