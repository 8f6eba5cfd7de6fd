"""Data preparation: raw data become a checked catalogue and a dataset card."""

from wwdc.prepare.catalogue import prepare, read_card, write_catalogue

__all__ = ["prepare", "read_card", "write_catalogue"]
