"""Plots of clusterings: functions from arrays to a matplotlib Figure, without pyplot.

Points are raw or scaled, shape (N, *shape). Images have shape (H, W), or (C, H, W) or (H, W, C)
with one or three channels. The ten colours suit colour-blind readers; further groups repeat them
with another marker or line style.
"""

from .charts import confusion, plane, scatter
from .component_scores import components
from .figures import save
from .grids import is_image, members, samples, traversals
from .learning_curves import curves

__all__ = [
    "components",
    "confusion",
    "curves",
    "is_image",
    "members",
    "plane",
    "samples",
    "save",
    "scatter",
    "traversals",
]
