"""Channel history: reading stored messages and awaiting publish acknowledgements."""
