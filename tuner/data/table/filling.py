"""What stands in the place of missing values, from the training rows alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from . import cells
from .columns import BOOLEAN, CATEGORY, NUMBER, ORDINAL
from .encoding import TableEncoder
from .roles import Roles


def filled(encoder: TableEncoder, found: Roles, rows: NDArray[np.int64]) -> TableEncoder:
    """Return the encoder with values for missing cells.

    These are the mean of numbers, and the most frequent of categories.
    """
    from sklearn.impute import SimpleImputer

    means = SimpleImputer(keep_empty_features=True).fit(found.numbers[rows]).statistics_
    mean = dict(zip(found.measured, means.tolist(), strict=True))
    columns = []
    for column in encoder.columns:
        if column.kind in (CATEGORY, ORDINAL):
            assert isinstance(found.table, Mapping)
            texts = cells.texts(found.table[column.name], column.name, encoder.missing)[rows]
            imputer = SimpleImputer(strategy="most_frequent", missing_values=None)
            column = replace(column, fill=str(imputer.fit(texts[:, None]).statistics_[0]))
        elif column.kind in (NUMBER, BOOLEAN):  # rounded, to be the same on every machine
            column = replace(column, fill=float(f"{mean[column.name]:.12g}"))
        columns.append(column)
    return replace(encoder, columns=tuple(columns))
