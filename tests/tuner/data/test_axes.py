import numpy as np
import pytest

from tuner.data import load
from tuner.data.axes import channels_last
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((28, 28), False),
        ((3, 32, 32), False),
        ((32, 32, 3), True),
        ((1, 20, 30), False),
        ((20, 30, 4), True),
        ((3, 4, 4), False),
        ((4, 4, 3), True),
        ((5, 9, 9), False),
        ((9, 9, 5), True),
    ],
)
def test_channels_are_recognised_where_that_is_certain(shape, last):
    assert channels_last(shape, "x.npy") is last


@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 32, 4), (1, 28, 1), (2, 3, 7), (8, 8, 8)])
def test_shapes_that_may_be_either_are_refused(shape):
    with pytest.raises(DataError, match=r"save them as \(points, channels, height, width\)"):
        channels_last(shape, "x.npy")


def test_images_are_turned_and_answers_turned_back():
    first = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 6)).astype(np.uint8)
    last = np.moveaxis(first, 1, -1)
    expected, data = load(first), load(last)
    assert data.shape == (3, 8, 6)
    assert np.array_equal(data.train, expected.train)
    assert data.fingerprint == expected.fingerprint
    assert np.array_equal(data.preprocessor.apply(last), expected.preprocessor.apply(first))
    back = data.preprocessor.invert(data.preprocessor.apply(last))
    assert back.shape == last.shape
    assert np.allclose(back, last, atol=1e-3)


@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1 / 127.5, -1), (1 / 255, 0)])
def test_images_have_one_range_whatever_their_type(kind, scale, shift):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8))
    pixels[0, 0, :2] = 0, 255
    expected = load(pixels.astype(np.uint8)).train
    if scale == 1:
        data = load(pixels.astype(kind))
        assert np.array_equal(data.train, expected)
        assert data.fingerprint == load(pixels).fingerprint
    elif kind.startswith("f"):
        data = load((pixels * scale + shift).astype(kind))
        assert np.allclose(data.train, expected, atol=1e-6)
    assert load(pixels).unit_interval
