"""Scoring embedded objects with anomaly detectors: what is odd, and how sure that is."""
