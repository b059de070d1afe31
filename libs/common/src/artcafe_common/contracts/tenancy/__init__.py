"""The contract of tenancy: organizations and what they own, one module for each noun."""
