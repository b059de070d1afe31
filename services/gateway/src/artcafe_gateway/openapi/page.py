"""`/schema`: the API documents, and a self-contained page that displays the OpenAPI document."""

import mimetypes
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.connection import Request
from litestar.params import FromPath

from artcafe_gateway.http.request import NotFound
from artcafe_gateway.openapi.asyncapi import build_asyncapi
from artcafe_gateway.openapi.rest import build_openapi

_ASSETS = {"swagger-ui.css", "swagger-ui-bundle.js"}
_ASSETS_PACKAGE = "swagger_ui"
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


class DocumentsController(Controller):
    """Generates each document on its first request, and caches it."""

    path = "/schema"
    include_in_schema = False

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._documents: dict[str, bytes] = {}

    @get("/openapi.json")
    async def openapi(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        if "openapi" not in self._documents:
            self._documents["openapi"] = msgspec.json.encode(build_openapi(request.app))
        return Response(self._documents["openapi"], media_type="application/json")

    @get("/asyncapi.json")
    async def asyncapi(self) -> Response[bytes]:
        if "asyncapi" not in self._documents:
            self._documents["asyncapi"] = msgspec.json.encode(build_asyncapi())
        return Response(self._documents["asyncapi"], media_type="application/json")

    @get("/")
    async def page(self) -> Response[bytes]:
        return Response(_PAGE.encode(), media_type="text/html", headers=SECURITY_HEADERS)

    @get("/assets/{name:str}", sync_to_thread=True)
    def asset(self, name: FromPath[str]) -> Response[bytes]:
        if name == "init.js":
            content = _INIT_SCRIPT.encode()
        elif name in _ASSETS:
            content = (files(_ASSETS_PACKAGE) / "static" / name).read_bytes()
        else:
            raise NotFound
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {**SECURITY_HEADERS, "Cache-Control": "public, max-age=3600"}
        return Response(content, media_type=kind, headers=headers)
