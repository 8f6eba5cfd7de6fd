"""Catalogues, datasets, cached latents and the batches that training reads."""
