"""Figures that a report can have: each takes `Tables`, and gives a figure with its numbers."""
