"""The WebSocket wire format: frames, headers, parsing, and the sockets that carry them."""
