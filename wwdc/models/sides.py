"""The sides of images that `wwdc.models.convolutional.ConvVAE` takes. Needs no torch."""

__all__ = ["SIDES"]

SIDES = (16, 256)
"""Fewest and most pixels."""
