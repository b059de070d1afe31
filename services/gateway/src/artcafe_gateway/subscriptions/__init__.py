"""Subscriptions of WebSocket clients, and how they recover missed messages."""
