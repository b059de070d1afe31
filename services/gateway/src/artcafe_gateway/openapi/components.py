"""The parameters and response headers that several operations of the OpenAPI document share."""

from typing import Any


def shared_parameters() -> dict[str, Any]:
    """The request headers that callers may set."""
    return {
        "tenant": {
            "name": "X-Tenant-Id",
            "in": "header",
            "required": False,
            "description": "The organization to act for; required for members of several organizations",
            # Without an example, which the page would send.
            "schema": {"type": "string"},
        },
        "once": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "For 24 hours, requests with the same key are executed once and get the same response",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        },
        "if_match": {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of the version to change; after a change by somebody else the response is 412",
            "schema": {"type": "string"},
        },
        "if_none_match": {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of a known response; if it is the current one, the response is 304",
            "schema": {"type": "string"},
        },
    }


def shared_headers() -> dict[str, Any]:
    """The headers of responses."""
    number = {"type": "integer", "minimum": 0}
    text = {"type": "string"}
    headers: dict[str, tuple[str, dict[str, Any], Any]] = {
        "X-Request-Id": ("Identifies the request in the log", text, "4bf92f3577b34da6"),
        "ETag": ("The version of the resource, for `If-Match`", text, '"6461ff57a7b20-9f86d081884c7d65"'),
        "RateLimit": (
            "The remaining requests `r`, and the seconds `t` until all are",
            text,
            '"minute";r=499;t=1',
        ),
        "RateLimit-Policy": ("The requests `q` in a window of `w` seconds", text, '"minute";q=500;w=60'),
        "RateLimit-Limit": ("Requests per minute; absent without a limit", number, 500),
        "RateLimit-Remaining": ("Remaining requests", number, 499),
        "RateLimit-Reset": ("Seconds until the full limit is available again", number, 1),
        "Retry-After": ("Seconds to wait before a retry, if known", number, 2),
        "Idempotency-Replayed": ("`true` if the response is that of an earlier request", text, "true"),
        "WWW-Authenticate": ("The authentication scheme", text, "Bearer"),
        "Deprecation": ("When the route was deprecated (RFC 9745)", text, "@1767225600"),
        "Link": ("The route that replaces this one", text, '</api/v1/clients>; rel="successor-version"'),
    }
    return {
        name: {"description": description, "schema": schema, "example": value}
        for name, (description, schema, value) in headers.items()
    }
