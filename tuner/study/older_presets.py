"""The presets of MNIST and Fashion-MNIST by which searches began before there were any of sizes.

Those searches resume only with equal settings, so these stay as they were.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..methods.config import Scalar

_DATASETS = ("mnist", "fashion_mnist")
_SETTINGS: Mapping[str, Mapping[str, "Scalar"]] = {
    "aae": {"n_components": 10},
    "ae_gmm": {"n_components": 10},
    "catgan": {"n_components": 10},
    "dec": {"n_components": 10},
    "em_flow": {
        "n_components": 10,
        "coupling": "affine",
        "iterations": 20,
        "m_step_epochs": 1,
        "noise": 0.2,
        "temperature": 4.0,
    },
    "em_vae": {"n_components": 10},
    "gmm": {"n_components": 10, "covariance": "diag", "regularisation": 0.1, "starts": 1},
    "gmm_prior_vae": {"n_components": 10, "pretraining_epochs": 10, "epochs": 10},
    "gmvae": {
        "n_components": 10,
        "architecture": "mnist",
        "code_size": 200,
        "style_size": 150,
        "hidden_size": 500,
        "prior_hidden_size": 500,
        "batch_norm": True,
        "mc_samples": 10,
        "information_threshold": 0.0,
        "warm_up": 0.0,
        "reconstruction_weight": 1.0,
        "learning_rate": 0.0001,
        "batch_size": 50,
        "epochs": 100,
    },
    "kmeans": {"n_components": 10, "starts": 3},
    "mutual_vae_gmm": {"n_components": 10, "vae_epochs": 15, "rounds": 5, "round_epochs": 1},
    "soft_kmeans_vae": {"n_components": 10, "pretraining_epochs": 10, "epochs": 10},
    "vade": {"n_components": 10},
    "vae_gmm": {"n_components": 10, "vae_epochs": 15},
    "vaeic": {"n_components": 10, "hidden_size": 512, "batch_size": 64, "epochs": 30},
}


def older_settings(method: str, dataset: str) -> Mapping[str, "Scalar"] | None:
    """Return the preset that a method had for a dataset, None where it has not changed since."""
    return _SETTINGS.get(method) if dataset in _DATASETS else None
