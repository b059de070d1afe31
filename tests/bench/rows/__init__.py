"""One module per row of the results table."""
