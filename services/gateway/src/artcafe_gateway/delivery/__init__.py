"""Delivery of broker messages to sockets: fan-out and rendering."""
