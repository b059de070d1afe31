"""Conditional requests (RFC 9110, section 13): `ETag`, `If-Match` and `If-None-Match`.

An entity tag is `"<version>-<digest>"`: the time of the last change in hexadecimal microseconds, and a digest of the
body. `If-Match` compares versions alone, so that a client's presence, which is in the body, fails no change.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response
from litestar.connection import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import UNSET, UnsetType

from artcafe_common.contracts.tenancy.conditional import NEVER

_DIGEST_BYTES = 8
_NOT_MODIFIED = 304
_OK = 200
# The headers that describe a body, which a 304 does not have.
_BODY_HEADERS = ("content-length", "content-type")
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_OWN_TAG = re.compile(r'"([0-9a-f]{1,15})-[0-9a-f]{16}"')
_MICROSECOND = timedelta(microseconds=1)


def if_match(request: Request[Any, Any, Any]) -> tuple[datetime, ...] | UnsetType:
    """The versions that `If-Match` allows; UNSET for any, which `*` means too."""
    values = request.headers.getall("if-match", [])
    if not values or any(value.strip() == "*" for value in values):
        return UNSET
    # A tag that is weak, or not of this form, matches nothing.
    own = (_OWN_TAG.fullmatch(tag) for tag in _TAG.findall(", ".join(values)))
    return tuple(NEVER + int(tag[1], 16) * _MICROSECOND for tag in own if tag is not None)


async def add_etag(response: Response[Any]) -> Response[Any]:
    """Encode a resource and set its ETag; Litestar calls it for every response of a route."""
    content = response.content
    updated_at = getattr(content, "updated_at", UNSET)
    if updated_at is not UNSET:
        body = msgspec.json.encode(content)
        response.content = body
        response.headers["ETag"] = build_etag(updated_at, body)
    return response


def build_etag(updated_at: datetime | None, body: bytes) -> str:
    """The entity tag of a resource that was last changed at this time, if ever."""
    version = ((updated_at or NEVER).astimezone(UTC) - NEVER) // _MICROSECOND
    return f'"{version:x}-{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


class ConditionalRequests(ASGIMiddleware):
    """Answers 304 to a GET whose `If-None-Match` names the response, and removes the ETag of what was deleted."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope)
        method = request.method
        known = request.headers.getall("if-none-match", []) if method == "GET" else []
        if not known and method != "DELETE":
            await next_app(scope, receive, send)
            return
        not_modified = False

        async def send_if_modified(message: Message) -> None:
            nonlocal not_modified
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                etag = headers.get("etag")
                if method == "DELETE":
                    del headers["etag"]
                elif message["status"] == _OK and etag is not None and _names(known, etag):
                    not_modified = True
                    message["status"] = _NOT_MODIFIED
                    for name in _BODY_HEADERS:
                        del headers[name]
            elif not_modified:
                message["body"] = b""  # type: ignore[typeddict-unknown-key] # of http.response.body
            await send(message)

        await next_app(scope, receive, send_if_modified)


def _names(values: list[str], etag: str) -> bool:
    if any(value.strip() == "*" for value in values):
        return True
    # The weak comparison: a proxy that compresses makes a tag weak.
    return etag in {tag.removeprefix("W/") for tag in _TAG.findall(", ".join(values))}
