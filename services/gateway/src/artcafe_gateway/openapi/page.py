"""`/schema`: the API documents, and a self-contained page that displays the OpenAPI document."""

import gzip
import mimetypes
import re
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.connection import Request
from litestar.params import FromPath

from artcafe_gateway.http.conditional import build_etag
from artcafe_gateway.http.request import NotFound
from artcafe_gateway.openapi.asyncapi import build_asyncapi
from artcafe_gateway.openapi.rest import build_openapi

_ASSETS = {"swagger-ui.css", "swagger-ui-bundle.js"}
_ASSETS_PACKAGE = "swagger_ui"
_GZIP, _NO_GZIP = re.compile(r"\b(gzip|\*)"), re.compile(r"\bgzip\s*;\s*q=0(\.0*)?\s*(,|$)")
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ArtCafe PubSub: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/schema/assets/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/schema/assets/swagger-ui-bundle.js"></script>
<script src="/schema/assets/init.js"></script>
</body>
</html>
"""
_INIT_SCRIPT = """SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null,
});
"""


class _Document:
    """A body that does not change while the process runs, also compressed."""

    def __init__(self, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self._body = body
        self._compressed = gzip.compress(body, mtime=0)
        self._kind = kind
        self._headers = {"Vary": "Accept-Encoding", **headers}

    def respond(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The response, compressed if the caller can read it."""
        body, headers = self._body, dict(self._headers)
        accepted = request.headers.get("accept-encoding", "")
        if _GZIP.search(accepted) and not _NO_GZIP.search(accepted):
            body, headers["Content-Encoding"] = self._compressed, "gzip"
        headers["ETag"] = build_etag(None, body)
        return Response(body, media_type=self._kind, headers=headers)


class DocumentsController(Controller):
    """Generates each document on its first request, and caches it."""

    path = "/schema"
    include_in_schema = False

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._documents: dict[str, _Document] = {}

    @get("/openapi.json")
    async def openapi(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        if "openapi" not in self._documents:
            self._documents["openapi"] = _Document(msgspec.json.encode(build_openapi(request.app)))
        return self._documents["openapi"].respond(request)

    @get("/asyncapi.json")
    async def asyncapi(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        if "asyncapi" not in self._documents:
            self._documents["asyncapi"] = _Document(msgspec.json.encode(build_asyncapi()))
        return self._documents["asyncapi"].respond(request)

    @get("/")
    async def page(self) -> Response[bytes]:
        return Response(_PAGE.encode(), media_type="text/html", headers=SECURITY_HEADERS)

    @get("/assets/{name:str}", sync_to_thread=True)
    def asset(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        return _read_asset(name).respond(request)


@cache
def _read_asset(name: str) -> _Document:
    if name == "init.js":
        content = _INIT_SCRIPT.encode()
    elif name in _ASSETS:
        content = (files(_ASSETS_PACKAGE) / "static" / name).read_bytes()
    else:
        raise NotFound
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return _Document(content, kind, **SECURITY_HEADERS, **{"Cache-Control": "public, max-age=3600"})
