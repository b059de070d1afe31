"""Backups of Redis, the keys directory and the JetStream streams, and their restoration."""
