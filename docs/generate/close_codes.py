"""The table of WebSocket close codes."""

from artcafe_gateway.wire.socket import WEBSOCKET_CLOSE_CODES
from docs.generate.markdown import table as markdown_table


def table() -> str:
    """One row for each code."""
    return markdown_table(
        ("code", "meaning"), ((str(code), text) for code, text in WEBSOCKET_CLOSE_CODES.items())
    )
