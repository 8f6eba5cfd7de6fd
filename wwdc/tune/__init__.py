"""Sweeps: axes, points, the plan, and the run on Ray Tune."""
