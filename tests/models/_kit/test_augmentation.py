"""Changed copies of points."""

import pytest

from tuner.models._kit.augmentation import Augmentation, is_image

SMALL = Augmentation(shift=0.1, rotation=10.0, zoom=0.1, jitter=0.0)


@pytest.mark.parametrize(
    ("shape", "changes"),
    [((8, 8), True), ((3, 8, 8), True), ((8, 1), False), ((8,), False), ((2, 2, 2, 2), False)],
)
def test_only_images_are_moved(shape: tuple[int, ...], changes: bool) -> None:
    assert is_image(shape) == changes
    assert SMALL.changes(shape) == changes
    assert Augmentation(shift=0, rotation=0, zoom=0, jitter=0.1).changes(shape) != changes
