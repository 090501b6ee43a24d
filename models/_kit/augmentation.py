"""Small random changes that keep a point's content: affine maps of images, noise on others."""

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.contract import Shape
from .draws import Draws


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

    def apply(self, x: Tensor, shape: Shape, draws: Draws) -> Tensor:
        """Return a copy of x (R, B, F) with an independent random change of every point.

        Points of shape (H, W) or (C, H, W) are images, with rows and columns as the last axes,
        unless they have a single row or column: for these, torch's affine grid copies a number
        from the host, which a GPU cannot record.
        """
        if len(shape) not in (2, 3) or 1 in shape[-2:]:
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
