"""Tables as CSV (RFC 4180), for requests that ask for it with `Accept: text/csv`."""

import csv
import io
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from litestar import Response
from litestar.connection import Request

CSV = "text/csv"
JSON = "application/json"
# A spreadsheet takes a text that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: Request[Any, Any, Any], otherwise: str = JSON) -> bool:
    """Whether the `Accept` header prefers CSV to the media type `otherwise`."""
    return request.accept.best_match([otherwise, CSV], default=otherwise) == CSV


def encode_rows(fields: tuple[str, ...], rows: Iterable[msgspec.Struct], *, header: bool = True) -> bytes:
    """The fields of each row, with a first line that names them if `header`."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(fields)
    writer.writerows([_encode(getattr(row, field)) for field in fields] for row in rows)
    return text.getvalue().encode()


def respond(
    request: Request[Any, Any, Any],
    value: msgspec.Struct,
    row_type: type[msgspec.Struct],
    rows: Iterable[msgspec.Struct],
) -> Response[bytes]:
    """The value as JSON, or its rows as CSV."""
    headers = {"Vary": "Accept"}
    if not wants_csv(request):
        return Response(msgspec.json.encode(value), media_type=JSON, headers=headers)
    return Response(encode_rows(row_type.__struct_fields__, rows), media_type=CSV, headers=headers)


def _encode(value: Any) -> str:
    if isinstance(value, date | datetime):
        return str(msgspec.to_builtins(value))
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA_STARTS) else text
