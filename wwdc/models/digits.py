"""Networks for scikit-learn's digits in colour (3, 28, 28): smaller, as the images are."""

__all__ = ["VAE", "CouplingFlow", "Flow", "FlowMatching"]

from collections.abc import Sequence

from wwdc.models import vae
from wwdc.models.flow_matching import FlowMatching
from wwdc.models.flows import NSF as Flow
from wwdc.models.flows import CouplingFlow


class VAE(vae.VAE):
    """:class:`wwdc.models.vae.VAE` with defaults that suit 8 × 8 digits drawn at 28 × 28.

    >>> VAE().latent_dim
    16
    """

    def __init__(
        self,
        hidden_dim: int = 16,
        channels: int = 16,
        width: int = 64,
        size: Sequence[int] = (3, 28, 28),
    ) -> None:
        super().__init__(hidden_dim, channels, width, size)
