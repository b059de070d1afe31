"""Opaque list cursors, signed and bound to a tenant and a list."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.key_ring import KeyRing

MIN_KEY_BYTES = 32
MAX_CURSOR_LENGTH = 1024
_MAC_BYTES = 16


class CursorCodec:
    """Encodes and decodes cursors with keys that all instances share."""

    def __init__(self, keys: KeyRing) -> None:
        if any(len(key) < MIN_KEY_BYTES for key in keys.accepted):
            raise ValueError(f"a cursor key must have at least {MIN_KEY_BYTES} bytes")
        self._keys = keys

    def encode(self, tenant_id: str, scope: str, position: dict[str, Any] | None) -> str | None:
        """The cursor for a position in a list; None for None, the end of the list."""
        if position is None:
            return None
        body = msgspec.json.encode(position)
        return (
            base64.urlsafe_b64encode(_mac(self._keys.current, tenant_id, scope, body) + body)
            .rstrip(b"=")
            .decode()
        )

    def decode(self, tenant_id: str, scope: str, cursor: str | None) -> dict[str, Any] | None:
        """The position that a cursor encodes. Raises InvalidCursor if it was issued for another tenant or list."""
        if cursor is None:
            return None
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise InvalidCursor
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            valid = [
                hmac.compare_digest(mac, _mac(key, tenant_id, scope, body)) for key in self._keys.accepted
            ]
            if not any(valid):
                raise InvalidCursor
            return msgspec.json.decode(body, type=dict[str, Any])
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor from error


def _mac(key: bytes, tenant_id: str, scope: str, body: bytes) -> bytes:
    data = b"\0".join((tenant_id.encode(), scope.encode(), body))
    return hmac.new(key, data, hashlib.sha256).digest()[:_MAC_BYTES]
