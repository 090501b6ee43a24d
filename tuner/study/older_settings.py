"""What searches began with before presets were recorded, and before methods could do more.

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


_COPIES: Mapping[str, "Scalar"] = {"shift": 0.07, "rotation": 10.0, "zoom": 0.1, "jitter": 0.0}
_SMOOTHNESS: Mapping[str, "Scalar"] = {"vat_weight": 0.0, "vat_radius": 0.25}
_PENALTIES: Mapping[str, "Scalar"] = {
    **_COPIES,
    **_SMOOTHNESS,
    "augmentation_weight": 0.0,
    "balance_weight": 0.0,
    "certainty_weight": 0.0,
}
_DIFFUSION: Mapping[str, "Scalar"] = {"diffusion_steps": 0, "diffusion_decay": 0.8}
_ADDED: Mapping[str, Mapping[str, "Scalar"]] = {
    "aae": _PENALTIES,
    "catgan": _PENALTIES,
    "em_flow": _DIFFUSION,
    "em_vae": _DIFFUSION,
    "gmvae": _PENALTIES,
    "vade": _PENALTIES,
    "vaeic": _SMOOTHNESS,
}
_DEFAULTS: Mapping[str, Mapping[str, "Scalar"]] = {
    "vaeic": {"augmentation_weight": 50.0, "balance_weight": 50.0, "certainty_weight": 20.0},
}


def added_settings(method: str) -> Mapping[str, "Scalar"]:
    """Return the settings that a method did not have then, at the values by which it behaved."""
    return _ADDED.get(method, {})


def older_defaults(method: str) -> Mapping[str, "Scalar"]:
    """Return the defaults that have changed since, as they were."""
    return _DEFAULTS.get(method, {})
