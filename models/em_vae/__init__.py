"""EM-VAE: one variational autoencoder per cluster, trained by expectation-maximisation."""

from .method import EMVAE, EMVAEClusterer, EMVAEConfig

__all__ = ["EMVAE", "EMVAEClusterer", "EMVAEConfig"]
