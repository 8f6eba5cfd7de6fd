"""Configuration files shipped with the package."""
