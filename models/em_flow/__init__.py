"""EM-VAE with a normalizing flow per cluster in place of the variational autoencoder."""

from .method import EMFlow, EMFlowClusterer, EMFlowConfig

__all__ = ["EMFlow", "EMFlowClusterer", "EMFlowConfig"]
