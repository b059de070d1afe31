"""What two services or more share."""

__version__ = "0.1.0"
