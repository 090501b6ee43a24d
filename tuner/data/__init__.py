"""Datasets by name or from files, split and scaled without using labels.

Imports only `tuner.errors`.
"""

from .dataset import Dataset
from .library import DatasetInfo, catalog, load
from .scaling import Scaling

__all__ = ["Dataset", "DatasetInfo", "Scaling", "catalog", "load"]
