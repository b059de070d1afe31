"""Account seeds at rest: AES-256-GCM, bound to the tenant and the key that they belong to."""

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artcafe_common.settings import read_secret

_NONCE_BYTES = 12


class SealBroken(Exception):
    """A sealed text that was changed, moved to another tenant or key, or sealed with another key."""


class Sealer:
    """Seals with the installation's key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    @classmethod
    def from_file(cls, path: Path) -> "Sealer":
        """Read the key (64 hexadecimal digits) that `artcafe bootstrap` made."""
        return cls(read_secret(path))

    def seal(self, seed: str, *, tenant_id: str, public: str) -> str:
        """The seed, encrypted, in base64."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._aead.encrypt(nonce, seed.encode(), _bound_to(tenant_id, public))
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, tenant_id: str, public: str) -> str:
        """The seed that was sealed for this tenant and key; SealBroken otherwise."""
        raw = base64.b64decode(sealed)
        try:
            data = self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound_to(tenant_id, public))
        except InvalidTag as error:
            raise SealBroken from error
        return data.decode()


def _bound_to(tenant_id: str, public: str) -> bytes:
    return f"{tenant_id}|{public}".encode()
