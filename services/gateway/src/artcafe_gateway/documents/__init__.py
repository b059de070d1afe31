"""What the API and the protocols are, as documents that are made of the code."""
