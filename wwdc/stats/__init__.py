"""What can be read from latents and residuals, tested."""

__all__: list[str] = []
