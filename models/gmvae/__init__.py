"""GMVAE: a Gaussian mixture variational autoencoder (Dilokthanakul et al., 2016)."""

from .method import GMVAE, GMVAEClusterer, GMVAEConfig

__all__ = ["GMVAE", "GMVAEClusterer", "GMVAEConfig"]
