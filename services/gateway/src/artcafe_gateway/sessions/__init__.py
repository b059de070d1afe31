"""WebSockets of clients and dashboards, from handshake to end."""
