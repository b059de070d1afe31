"""Limits on calls, connections, handshakes and monthly messages."""
