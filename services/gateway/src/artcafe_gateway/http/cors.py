"""Which pages of other origins may call the REST API, where no proxy in front of the gateway decides it."""

from litestar.config.cors import CORSConfig
from litestar.types import Method

# As in deploy/nginx/nginx.conf.template.
METHODS: tuple[Method, ...] = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Tenant-Id",
    "Traceparent",
)
RESPONSE_HEADERS = (
    "Deprecation",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-Id",
)
LOOPBACK = "loopback"
_LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"


def cors_config(origins: frozenset[str]) -> CORSConfig | None:
    """The configuration for these origins, of which `loopback` is every one on this machine; None without any."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=sorted(origins - {LOOPBACK}),
        allow_origin_regex=_LOOPBACK_ORIGIN if LOOPBACK in origins else None,
        allow_methods=list(METHODS),
        allow_headers=list(REQUEST_HEADERS),
        expose_headers=list(RESPONSE_HEADERS),
    )
