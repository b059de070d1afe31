"""The keys, credentials and configuration of an installation."""
