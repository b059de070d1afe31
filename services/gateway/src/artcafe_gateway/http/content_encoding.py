"""Refuses bodies in an encoding that the gateway does not decode."""

from typing import Any

from litestar.connection import Request

from artcafe_common.bus.errors import CommandError

SUPPORTED = "identity"


class UnsupportedContentEncoding(CommandError):
    """`Content-Encoding` names a coding of the body, such as gzip; bodies are accepted without one."""

    status = 415
    code = "unsupported_content_encoding"
    title = "The body's encoding is not supported"
    remedy = "Send the body uncompressed, without the header `Content-Encoding`."


async def check_content_encoding(request: Request[Any, Any, Any]) -> None:
    """Raise UnsupportedContentEncoding; Litestar calls it before every route."""
    if request.method == "GET":
        return
    for value in request.headers.getall("content-encoding", []):
        if any(coding.strip().lower() not in ("", SUPPORTED) for coding in value.split(",")):
            raise UnsupportedContentEncoding
