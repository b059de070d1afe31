"""Notices that the client of a request does not wait for its response any more."""

from litestar.types import Receive


async def wait_for_disconnect(receive: Receive) -> None:
    """Returns when the client has disconnected; the body of the request must have been read, or be empty."""
    while (await receive())["type"] != "http.disconnect":
        pass
