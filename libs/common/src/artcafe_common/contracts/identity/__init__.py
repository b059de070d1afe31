"""The contract of identity: who someone is, one module for each noun."""
