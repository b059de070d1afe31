"""Opaque list cursors, signed and bound to a tenant and a list."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from artcafe_common.bus.errors import InvalidCursor

MIN_KEY_BYTES = 32
MAX_CURSOR_LENGTH = 1024
_MAC_BYTES = 16


class CursorCodec:
    """Encodes and decodes cursors with a key that all instances share."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a cursor key must have at least {MIN_KEY_BYTES} bytes")
        self._key = key

    def encode(self, tenant_id: str, scope: str, position: dict[str, Any] | None) -> str | None:
        """The cursor for a position in a list; None for None, the end of the list."""
        if position is None:
            return None
        body = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._mac(tenant_id, scope, body) + body).rstrip(b"=").decode()

    def decode(self, tenant_id: str, scope: str, cursor: str | None) -> dict[str, Any] | None:
        """The position that a cursor encodes. Raises InvalidCursor if it was issued for another tenant or list."""
        if cursor is None:
            return None
        if len(cursor) > MAX_CURSOR_LENGTH:
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
