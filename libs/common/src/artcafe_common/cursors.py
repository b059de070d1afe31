"""Opaque positions in lists, signed and bound to the tenant and the list they were made for."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from artcafe_common.bus.errors import InvalidCursor

_MAC_BYTES = 16
MAX_CURSOR = 1024


class CursorCodec:
    """Makes and reads cursors with a key of at least 32 bytes that all instances share."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:  # noqa: PLR2004 - the strength of SHA-256
            raise ValueError("a cursor key has at least 32 bytes")
        self._key = key

    def encode(self, tenant_id: str, scope: str, position: dict[str, Any] | None) -> str | None:
        """The cursor for a store's position; None at the end of a list."""
        if position is None:
            return None
        body = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._mac(tenant_id, scope, body) + body).rstrip(b"=").decode()

    def decode(self, tenant_id: str, scope: str, cursor: str | None) -> dict[str, Any] | None:
        """The position behind a cursor; InvalidCursor unless this tenant got it from this list."""
        if cursor is None:
            return None
        if len(cursor) > MAX_CURSOR:
            raise InvalidCursor
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(tenant_id, scope, body)):
                raise InvalidCursor
            return msgspec.json.decode(body, type=dict[str, Any])
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor from error

    def _mac(self, tenant_id: str, scope: str, body: bytes) -> bytes:
        data = b"\0".join((tenant_id.encode(), scope.encode(), body))
        return hmac.new(self._key, data, hashlib.sha256).digest()[:_MAC_BYTES]
