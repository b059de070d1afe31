"""Delivery of broker messages to sockets: rendering and fan-out."""
