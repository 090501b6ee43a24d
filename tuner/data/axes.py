"""Which axis of an array of images holds the channels."""

from ..errors import DataError
from .scaling import Shape

_CHANNELS = (1, 3, 4)


def channels_last(point: Shape, where: str) -> bool:
    """Return whether images of this shape have their channels last. Raises DataError if unclear.

    They are last if there are 1, 3 or 4 at the end and not in front, and first the other way
    round. Otherwise, images are taken to be square.
    """
    if len(point) != 3:
        return False
    front, end = point[0] in _CHANNELS, point[2] in _CHANNELS
    if front == end:
        front, end = point[1] == point[2], point[0] == point[1]
    if front == end:
        raise DataError(
            f"images of shape {point} in {where} may have their channels first or last: save "
            "them as (points, channels, height, width) with 1, 3 or 4 channels, neither height "
            "nor width being 1, 3 or 4, or as square images"
        )
    return end
