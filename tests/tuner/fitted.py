"""Small fitted models for tests that need one."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuner.data import Preparation, load
from tuner.data.encoding import ArrayEncoder
from tuner.data.preprocessor import Preprocessor
from tuner.data.scaling import Scaling
from tuner.methods import catalog
from tuner.training.saved_model import Model


def raw_points(n: int = 300, shape: tuple[int, ...] = (6,)) -> NDArray[np.float64]:
    """Return three blobs in units far from standard ones, in random order."""
    rng = np.random.default_rng(0)
    features = math.prod(shape)
    centres = 40 * rng.normal(size=(3, features))
    points = centres[rng.integers(3, size=n)] + rng.normal(size=(n, features))
    return (1000 + points).reshape(n, *shape)


def fitted_model(
    method: str = "gmm",
    shape: tuple[int, ...] = (6,),
    *,
    labels_used: bool = False,
) -> Model:
    """Return a model of `raw_points` with three clusters."""
    raw = raw_points(shape=shape)
    scaling = Scaling(raw.mean(axis=0), raw.std(axis=0))
    preprocessor = Preprocessor(ArrayEncoder(shape), scaling)
    owner = catalog.method(method)
    config = owner.config_type.from_mapping({"n_components": 3})
    trained = owner(config, shape, (0,))
    for _ in trained.fit(torch.from_numpy(scaling.apply(raw))):
        pass
    return Model(method, config, trained.clusterers()[0], preprocessor, labels_used)


def fitted_table_model(data: Any, **preparation: Any) -> Model:
    """Return a Gaussian mixture with two clusters of a table, a frame or the path of a file."""
    dataset = load(data, preparation=Preparation(**preparation))
    owner = catalog.method("gmm")
    config = owner.config_type.from_mapping({"n_components": 2})
    trained = owner(config, dataset.shape, (0,))
    for _ in trained.fit(torch.from_numpy(dataset.train)):
        pass
    return Model("gmm", config, trained.clusterers()[0], dataset.preprocessor)
