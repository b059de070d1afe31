"""WebSocket sessions of clients, agents and dashboards."""
