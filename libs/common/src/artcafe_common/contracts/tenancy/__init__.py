"""Contract of tenancy: organizations and their resources, one module for each kind of resource."""
