"""Small random changes that keep a point's content: affine maps of images, noise on others."""

import math
from abc import ABC
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.config import Config, setting
from ...methods.contract import Shape
from .draws import Draws


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Config, ABC):
    """Settings of random changes that should leave the cluster of a point as it is."""

    shift: float = setting(
        0.07,
        "maximum shift of an image; two pixels of 28",
        unit="of its side",
        low=0.0,
        high=1.0,
    )
    rotation: float = setting(
        10.0, "maximum rotation of an image", unit="degrees", low=0.0, high=180.0
    )
    zoom: float = setting(
        0.1, "maximum zoom of an image, in or out", unit="of its size", low=0.0, high=0.9
    )
    jitter: float = setting(
        0.0,
        "standard deviation of the noise on points that are not images",
        unit="of the scaled data",
        low=0.0,
    )

    @property
    def augmentation(self) -> "Augmentation":
        """The random changes."""
        return Augmentation(
            shift=self.shift, rotation=self.rotation, zoom=self.zoom, jitter=self.jitter
        )


@final
@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Largest changes of an image, and the noise on other data. Images are never mirrored.

    `shift` is a fraction of the image's side, `rotation` is in degrees, `zoom` is a fraction of
    the size. `jitter` is the standard deviation of the noise on points that are not images.
    """

    shift: float
    rotation: float
    zoom: float
    jitter: float

    def changes(self, shape: Shape) -> bool:
        """Return whether any point of this shape is changed."""
        sizes = (self.shift, self.rotation, self.zoom) if is_image(shape) else (self.jitter,)
        return any(size > 0 for size in sizes)

    def apply(self, x: Tensor, shape: Shape, draws: Draws) -> Tensor:
        """Return a copy of x (R, B, F) with an independent random change of every point."""
        if not is_image(shape):
            return x + self.jitter * draws.normal(*x.shape[1:])
        image = (math.prod(shape[:-2]), *shape[-2:])
        down, right, angle, growth = (2 * draws.uniform(4, x.shape[1]) - 1).unbind(dim=1)
        height, width = shape[-2:]
        transformed = transform_images(
            x.reshape(-1, *image),
            shift=self.shift * torch.stack([height * down, width * right], dim=-1).flatten(0, 1),
            rotation=self.rotation * angle.flatten(),
            zoom=1 + self.zoom * growth.flatten(),
        )
        return transformed.view_as(x)


def is_image(shape: Shape) -> bool:
    """Return whether points of shape (H, W) or (C, H, W) have rows and columns to be moved.

    Those with a single row or column have not: for these, torch's affine grid copies a number from
    the host, which a GPU cannot record.
    """
    return len(shape) in (2, 3) and 1 not in shape[-2:]


def transform_images(x: Tensor, *, shift: Tensor, rotation: Tensor, zoom: Tensor) -> Tensor:
    """Return images (N, C, H, W) zoomed and rotated about their centre, then shifted.

    `shift` (N, 2) is in pixels down and to the right, `rotation` (N,) in degrees anticlockwise,
    `zoom` (N,) a factor. Interpolation is bilinear, and values outside of an image are 0.
    """
    height, width = x.shape[-2:]
    angle = rotation * (math.pi / 180)
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    down, right = shift.unbind(dim=1)
    # the source of each pixel in torch's coordinates, where both sides span [-1, 1]
    across = [cosine, -sine * height / width, 2 / width * (sine * down - cosine * right)]
    along = [sine * width / height, cosine, -2 / height * (sine * right + cosine * down)]
    matrix = torch.stack([torch.stack(row, dim=-1) for row in (across, along)], dim=1)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
