"""The console: a web page for the people of an organization. `make dashboard` builds it into `static`."""
