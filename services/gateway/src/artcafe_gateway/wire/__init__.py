"""How frames travel: their form, their parsing, their sockets."""
