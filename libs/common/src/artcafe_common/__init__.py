"""Code that several services share."""

__version__ = "0.1.0"
