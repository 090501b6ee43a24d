"""Small random changes of a point that leave what it shows: images move, other data tremble."""

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.contract import Shape
from .networks import Draws


@final
@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a point is changed at most; nothing is mirrored.

    `shift` is in parts of the image's side, `rotation` in degrees, `zoom` in parts of the size.
    `jitter` is the standard deviation of the noise on points that are no images.
    """

    shift: float
    rotation: float
    zoom: float
    jitter: float

    def draw(self, x: Tensor, shape: Shape, draws: Draws) -> Tensor:
        """Return a changed copy of each of x (R, B, F), every point by numbers of its own.

        Points of shape (H, W) or (C, H, W) are images, with rows and columns as the last axes.
        """
        if len(shape) not in (2, 3):
            return x + self.jitter * draws.normal(*x.shape[1:])
        image = (math.prod(shape[:-2]), *shape[-2:])
        down, right, turn, growth = (2 * draws.uniform(4, x.shape[1]) - 1).unbind(dim=1)
        height, width = shape[-2:]
        moved = moved_images(
            x.reshape(-1, *image),
            shift=self.shift * torch.stack([height * down, width * right], dim=-1).flatten(0, 1),
            rotation=self.rotation * turn.flatten(),
            zoom=1 + self.zoom * growth.flatten(),
        )
        return moved.view_as(x)


def moved_images(x: Tensor, *, shift: Tensor, rotation: Tensor, zoom: Tensor) -> Tensor:
    """Return images (N, C, H, W) zoomed and turned about their centre, then shifted.

    `shift` (N, 2) is in pixels down and to the right, `rotation` (N,) in degrees anticlockwise,
    `zoom` (N,) a factor. Values between pixels are bilinear, and 0 comes in from outside.
    """
    height, width = x.shape[-2:]
    angle = rotation * (math.pi / 180)
    cosine, sine = angle.cos() / zoom, angle.sin() / zoom
    down, right = shift.unbind(dim=1)
    # from where each pixel is read, by torch's coordinates: both sides span [-1, 1]
    across = [cosine, -sine * height / width, 2 / width * (sine * down - cosine * right)]
    along = [sine * width / height, cosine, -2 / height * (sine * right + cosine * down)]
    matrix = torch.stack([torch.stack(row, dim=-1) for row in (across, along)], dim=1)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
