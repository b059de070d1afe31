"""How the cost of the system grows with organizations and connections; see docs/operate/scaling.md."""
