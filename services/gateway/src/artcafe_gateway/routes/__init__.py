"""The REST routes: each calls the bus, and returns what it answers."""
