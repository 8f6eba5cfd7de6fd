"""Embeddings: what published checkpoints make of a split, as Parquet."""

from wwdc.embed.noise import posterior_noise

__all__ = ["posterior_noise"]
