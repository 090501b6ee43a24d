"""EM-VAE with a normalizing flow per cluster instead of a variational autoencoder."""

from .method import EMFlow, EMFlowClusterer, EMFlowConfig

__all__ = ["EMFlow", "EMFlowClusterer", "EMFlowConfig"]
