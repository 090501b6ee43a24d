"""Data: by name or from a file, split and scaled without a look at the labels."""

from .dataset import Dataset
from .library import DatasetInfo, catalog, load
from .scaling import Scaling

__all__ = ["Dataset", "DatasetInfo", "Scaling", "catalog", "load"]
