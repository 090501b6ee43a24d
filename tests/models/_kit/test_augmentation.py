"""Changed copies of points."""

import pytest
import torch
from torch.testing import assert_close

from tuner.models._kit.augmentation import Augmentation, is_image
from tuner.models._kit.draws import Draws

SMALL = Augmentation(shift=0.1, rotation=10.0, zoom=0.1, jitter=0.0)


@pytest.mark.parametrize(
    ("shape", "changes"),
    [((8, 8), True), ((3, 8, 8), True), ((8, 1), False), ((8,), False), ((2, 2, 2, 2), False)],
)
def test_only_images_are_moved(shape: tuple[int, ...], changes: bool) -> None:
    assert is_image(shape) == changes
    assert SMALL.changes(shape) == changes
    assert Augmentation(shift=0, rotation=0, zoom=0, jitter=0.1).changes(shape) != changes


def test_every_network_of_a_replica_sees_copies_of_its_own() -> None:
    x = torch.rand(1, 5, 64).expand(6, 5, 64)
    copies = SMALL.apply(x, (8, 8), Draws([0, 1]))
    assert copies.shape == x.shape
    different = [(copies[i] - copies[j]).abs().max() for i in range(6) for j in range(i)]
    assert min(different) > 0.01
    assert_close(SMALL.apply(x[:3], (8, 8), Draws([1])), copies[3:])
