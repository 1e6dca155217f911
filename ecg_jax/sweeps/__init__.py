"""One configuration and a search space: many runs, one table."""
