"""The networks of the Gaussian mixture VAE, and what they have to be told.

Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
2016), Eq. 1 and Tables A.1-A.3. Everything is flat outside, (S, B, F).
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
from .._kit.loop import in_chunks
from .._kit.networks import (
    Activation,
    Head,
    Linear,
    Perceptron,
    diagonal_normal,
    independent_bernoulli,
    log_prob,
    log_scale_normal,
)
from .._kit.outputs import LikelihoodConfig
from .._kit.stack import StackedNetwork
from .architectures import CONVOLUTIONS, ConvDecoder, ConvEncoder, check_images
from .style_priors import MixtureStyle, StandardStyle, StylePrior

CHUNK = 1024
"""Points answered at once: each takes K times the code size several times over."""


@dataclass(frozen=True, kw_only=True)
class GMVAENetworkConfig(LikelihoodConfig, ABC):
    """What the networks have to be told; the sizes are those of the paper's MNIST."""

    code_size: int = setting(200, "dimensions of the code x", low=1)
    style_size: int = setting(150, "dimensions of the style w", low=1)
    style_components: int = setting(
        1, "components of the prior on w; 1 is N(0, I), more are a trained mixture", low=1
    )
    hidden_size: int = setting(500, "width of the hidden layers", low=1)
    hidden_layers: int = setting(2, "hidden layers of a perceptron, each way", low=1)
    prior_hidden_size: int = setting(500, "width of the prior's tanh layer", low=1)
    architecture: str = setting(
        "perceptron",
        "layers between data and heads: fully connected, or the convolutions of Tables A.1-A.3",
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
        self.hidden = Perceptron(stack, sizes, activation, norm=norm)
        self.output = Linear(stack, sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the parameters of p(y | x)."""
        return self.output(self.hidden(x))


@final
class GMVAENetwork(StackedNetwork):
    """S networks of the model: two recognition heads, the mixture prior, the observation model.

    Y is a point's number of values, D the code's, W the style's.
    """

    def __init__(self, stack: int, shape: Shape, config: GMVAENetworkConfig) -> None:
        super().__init__(stack, shape, config)
        self.stack, self.config = stack, config
        c, values = config, math.prod(shape)
        hidden, norm = [c.hidden_size] * c.hidden_layers, c.batch_norm
        per_value = 1 if c.likelihood == "bernoulli" else 2
        if c.architecture == "perceptron":
            self.encoder: nn.Module = Perceptron(stack, [values, *hidden], F.relu, norm=norm)
            self.decoder: nn.Module = Decoder(
                stack, [c.code_size, *hidden], per_value * values, F.relu, norm=norm
            )
        else:
            check_images(c.architecture, shape)
            layers = CONVOLUTIONS[c.architecture]
            self.encoder = ConvEncoder(stack, shape, layers, c.hidden_size, norm=norm)
            sizes = [c.code_size, c.hidden_size]
            self.decoder = ConvDecoder(stack, shape, layers, sizes, per_value=per_value, norm=norm)
        self.prior = Perceptron(stack, [c.style_size, c.prior_hidden_size], torch.tanh)
        # all heads of one hidden layer are one affine map: a product less for each
        self.heads = Head(stack, c.hidden_size, 2 * (c.code_size + c.style_size))
        self.components_head = Head(stack, c.prior_hidden_size, 2 * c.n_components * c.code_size)
        self.style_prior: StylePrior = (
            StandardStyle(c.style_size)
            if c.style_components == 1
            else MixtureStyle(stack, c.style_components, c.style_size)
        )

    def recognise(self, y: Tensor) -> tuple[Independent, Independent]:
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

        It is the first singular vector of d mu_k(w) / dw, all k at once, as central differences
        over 1 to either side of E w; its largest entry is positive.
        """
        W = self.config.style_size
        steps = torch.eye(W, device=self.heads.weight.device)
        w = self.style_prior.around(torch.cat([steps, -steps]).expand(self.stack, -1, -1))
        forth, back = self.components(w).mean.flatten(2).chunk(2, dim=1)
        axis = torch.linalg.svd((forth - back) / 2, full_matrices=False).U[:, :, 0]
        largest = axis.gather(1, axis.abs().argmax(dim=1, keepdim=True))
        return axis * largest.sign()

    def observe(self, x: Tensor) -> Independent:
        """Return p(y | x), batch shape (S, B), event shape (Y,)."""
        parameters = self.decoder(x).float()
        if self.config.likelihood == "bernoulli":
            return independent_bernoulli(parameters)
        mean, log_variance = parameters.chunk(2, dim=2)
        floor = math.sqrt(self.config.variance_floor)
        return diagonal_normal(mean, (0.5 * log_variance).exp() + floor)

    def predict_log_proba(self, x: Tensor) -> Tensor:
        """Return log p(z | x, w) at the means of q(x | y) and q(w | y), (S, N, K); Eq. 3.

        The points y are called x here, as everywhere outside of this method, shape (N, Y).
        """

        def answer(y: Tensor) -> Tensor:
            code, style = self.recognise(y.expand(self.stack, -1, -1))
            components = self.components(style.mean)
            return log_prob(components, code.mean.unsqueeze(2)).log_softmax(dim=2)

        return in_chunks(answer, x, size=CHUNK)

    def embed(self, x: Tensor) -> Tensor:
        """Return the means of q(x | y), (S, N, D), of points y (N, Y)."""
        return in_chunks(lambda y: self.recognise(y.expand(self.stack, -1, -1))[0].mean, x)
