"""`HEAD` on every route that has `GET`."""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

# The key of a request's state that is set for HEAD.
IS_HEAD = "artcafe_is_head"


def allowed_methods(methods: Iterable[str]) -> list[str]:
    """The methods of a path, with HEAD beside GET."""
    found = set(methods)
    return sorted(found | {"HEAD"} if "GET" in found else found)


def with_head(api: ASGIApp) -> ASGIApp:
    """Wraps the application: HEAD is the response of GET without its body, and counts as it does."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await api(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            # A stream would not end by itself: after the empty body the server says that the client disconnected.
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        state = {**scope.get("state", {}), IS_HEAD: True}
        await api({**scope, "method": "GET", "state": state}, receive, send_headers)

    return app
