"""Networks, by dataset; this package itself imports no torch."""
