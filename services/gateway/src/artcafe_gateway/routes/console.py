"""`/console`: the web page for the people of an organization. It uses the public API alone."""

from typing import Any

from litestar import Controller, Response, get
from litestar.connection import Request
from litestar.params import FromPath

from artcafe_gateway.console.files import ASSETS, PAGE, ConsoleFile, load_files
from artcafe_gateway.http.request import NotFound

# Nothing but the page's own files and its own host; no style or script in the page itself.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_IMMUTABLE = "public, max-age=31536000, immutable"
_NOT_BUILT = "The console is not built. `make dashboard` builds it; it needs Node.js 20.19 or newer.\n"


class ConsoleController(Controller):
    """The files that `make dashboard` built. Every path that is no file is the page, which shows what it names."""

    path = "/console"
    include_in_schema = False

    @get("/", sync_to_thread=True)
    def page(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _respond(request, PAGE)

    @get("/{path:path}", sync_to_thread=True)
    def file(self, request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
        return _respond(request, path.removeprefix("/"))


def _respond(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
    built = load_files()
    if PAGE not in built:
        return Response(
            _NOT_BUILT.encode(),
            status_code=404,
            media_type="text/plain",
            headers={"Cache-Control": "no-store"},
        )
    file = built.get(path)
    if file is None:
        if path.startswith(ASSETS):
            raise NotFound
        file = built[PAGE]
    return _serve(file, compressed="gzip" in request.headers.get("accept-encoding", ""))


def _serve(file: ConsoleFile, *, compressed: bool) -> Response[bytes]:
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": _IMMUTABLE if file.immutable else "no-cache",
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    content = file.content
    if compressed and file.compressed is not None:
        headers["Content-Encoding"] = "gzip"
        content = file.compressed
    return Response(content, media_type=file.media_type, headers=headers)
