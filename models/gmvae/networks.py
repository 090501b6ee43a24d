"""The networks of the Gaussian mixture VAE and their settings.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016), Eq. 1 and Tables A.1-A.3. Inputs and outputs are flat, (S, B, F).
"""

import math
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from ...methods.config import setting
from ...methods.contract import Shape
from .._kit.distributions import diagonal_normal, independent_bernoulli, log_prob, log_scale_normal
from .._kit.layers import MLP, Activation, Head, Linear
from .._kit.loop import in_chunks
from .._kit.outputs import LikelihoodConfig
from .._kit.stack import StackedNetwork
from .architectures import CONVOLUTIONS, ConvDecoder, ConvEncoder, check_image_shape
from .style_priors import MixtureStyle, StandardStyle, StylePrior

CHUNK_SIZE = 1024
"""Points per chunk; each needs several times K · D numbers of memory."""


@dataclass(frozen=True, kw_only=True)
class GMVAENetworkConfig(LikelihoodConfig, ABC):
    """Settings of the networks, with the paper's sizes for MNIST."""

    code_size: int = setting(200, "dimensions of the code x", low=1)
    style_size: int = setting(150, "dimensions of the style w", low=1)
    style_components: int = setting(
        1, "components of the prior on w: 1 for N(0, I), more for a trained mixture", low=1
    )
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    hidden_layers: int = setting(
        2, "hidden layers of a perceptron's encoder, and of its decoder", low=1
    )
    prior_hidden_size: int = setting(500, "width of the prior's tanh layer", low=1)
    architecture: str = setting(
        "perceptron",
        "layers between data and heads: fully connected, or convolutions of Tables A.1-A.3",
        choices=("perceptron", *CONVOLUTIONS),
    )
    batch_norm: bool = setting(True, "normalise the hidden layers of encoder and decoder")
    variance_floor: float = setting(1e-3, "least variance of a Gaussian p(y | x)", low=0.0)


@final
class Decoder(nn.Module):
    """A perceptron and an affine output: (S, B, code) to (S, B, outputs)."""

    def __init__(
        self, stack: int, sizes: Sequence[int], outputs: int, activation: Activation, *, norm: bool
    ) -> None:
        super().__init__()
        self.hidden = MLP(stack, sizes, activation, norm=norm)
        self.output = Linear(stack, sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the parameters of p(y | x)."""
        return self.output(self.hidden(x))


@final
class GMVAENetwork(StackedNetwork):
    """S models: the posteriors of code and style, the mixture prior, and the decoder.

    Y is the size of a point, D of the code, W of the style.
    """

    def __init__(self, stack: int, shape: Shape, config: GMVAENetworkConfig) -> None:
        super().__init__(stack, shape, config)
        self.stack, self.config = stack, config
        c, values = config, math.prod(shape)
        hidden, norm = [c.hidden_size] * c.hidden_layers, c.batch_norm
        per_value = 1 if c.likelihood == "bernoulli" else 2
        if c.architecture == "perceptron":
            self.encoder: nn.Module = MLP(stack, [values, *hidden], F.relu, norm=norm)
            self.decoder: nn.Module = Decoder(
                stack, [c.code_size, *hidden], per_value * values, F.relu, norm=norm
            )
        else:
            check_image_shape(c.architecture, shape)
            layers = CONVOLUTIONS[c.architecture]
            self.encoder = ConvEncoder(stack, shape, layers, c.hidden_size, norm=norm)
            sizes = [c.code_size, c.hidden_size]
            self.decoder = ConvDecoder(stack, shape, layers, sizes, per_value=per_value, norm=norm)
        self.prior = MLP(stack, [c.style_size, c.prior_hidden_size], torch.tanh)
        # one affine map for all heads of a hidden layer saves matrix products
        self.heads = Head(stack, c.hidden_size, 2 * (c.code_size + c.style_size))
        self.components_head = Head(stack, c.prior_hidden_size, 2 * c.n_components * c.code_size)
        self.style_prior: StylePrior = (
            StandardStyle(c.style_size)
            if c.style_components == 1
            else MixtureStyle(stack, c.style_components, c.style_size)
        )

    def encode(self, y: Tensor) -> tuple[Independent, Independent]:
        """Return q(x | y) and q(w | y) of y (S, B, Y)."""
        D, W = self.config.code_size, self.config.style_size
        code_mean, code_lv, style_mean, style_lv = self.heads(self.encoder(y)).split(
            (D, D, W, W), 2
        )
        return log_scale_normal(code_mean, code_lv), log_scale_normal(style_mean, style_lv)

    def components(self, w: Tensor) -> Independent:
        """Return p(x | w, z = k) for all k at once, batch shape (S, B, K), event shape (D,)."""
        shape = (2, self.config.n_components, self.config.code_size)
        parameters = self.components_head(self.prior(w)).unflatten(2, shape)
        return log_scale_normal(*parameters.unbind(dim=2))

    def style_axis(self) -> Tensor:
        """Return the direction of w along which the components' means move most, (S, W).

        It is the first singular vector of d mu_k(w) / dw over all k, with central differences of
        step 1 at E w. Its largest entry is positive.
        """
        W = self.config.style_size
        steps = torch.eye(W, device=self.heads.weight.device)
        w = self.style_prior.add_to_mean(torch.cat([steps, -steps]).expand(self.stack, -1, -1))
        forward, backward = self.components(w).mean.flatten(2).chunk(2, dim=1)
        axis = torch.linalg.svd((forward - backward) / 2, full_matrices=False).U[:, :, 0]
        largest = axis.gather(1, axis.abs().argmax(dim=1, keepdim=True))
        return axis * largest.sign()

    def decode(self, x: Tensor) -> Independent:
        """Return p(y | x), batch shape (S, B), event shape (Y,)."""
        parameters = self.decoder(x).float()
        if self.config.likelihood == "bernoulli":
            return independent_bernoulli(parameters)
        mean, log_variance = parameters.chunk(2, dim=2)
        floor = math.sqrt(self.config.variance_floor)
        return diagonal_normal(mean, (0.5 * log_variance).exp() + floor)

    def assign(self, y: Tensor) -> Tensor:
        """Return log p(z | x, w) at the means of q(x | y) and q(w | y), (S, B, K); Eq. 3."""
        code, style = self.encode(y)
        components = self.components(style.mean)
        return log_prob(components, code.mean.unsqueeze(2)).log_softmax(dim=2)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return `assign` of x (N, Y), shape (S, N, K)."""
        return in_chunks(lambda y: self.assign(self.expand(y)), x, size=CHUNK_SIZE)

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(x | y), (S, N, D), of points y (N, Y)."""
        return in_chunks(lambda y: self.encode(y.expand(self.stack, -1, -1))[0].mean, x)
