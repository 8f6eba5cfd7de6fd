"""All stages of an experiment, one after the other: only what is missing or out of date."""
