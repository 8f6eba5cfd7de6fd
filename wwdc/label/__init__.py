"""People look at objects and say what they are; the ranking learns from it."""

__all__: list[str] = []
