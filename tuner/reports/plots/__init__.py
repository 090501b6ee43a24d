"""Pictures of clusterings: arrays in, a Figure out, no state shared with anyone.

Points are raw or scaled, shape (N, *shape). Images have shape (H, W), or (C, H, W) or (H, W, C)
with one or three channels. Colours are told apart with any kind of sight, and repeat after the
first ten with another marker or line.
"""

from .canvas import save
from .charts import confusion, scatter
from .curves import curves
from .grids import is_image, members, samples, traversals

__all__ = [
    "confusion",
    "curves",
    "is_image",
    "members",
    "samples",
    "save",
    "scatter",
    "traversals",
]
