"""Networks for MNIST in colour (3, 28, 28)."""

__all__ = ["VAE", "CouplingFlow", "Flow", "FlowMatching"]

from wwdc.models.flow_matching import FlowMatching
from wwdc.models.flows import NSF as Flow
from wwdc.models.flows import CouplingFlow
from wwdc.models.vae import VAE
