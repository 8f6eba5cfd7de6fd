"""What We Don't C: find what a catalogue does not say about images."""

__all__ = ["__version__"]

__version__ = "0.1.0"
