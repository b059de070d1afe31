"""Encryption at rest of account seeds: AES-256-GCM, bound to the tenant and the public key."""

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artcafe_common.settings import read_secret

_NONCE_BYTES = 12


class DecryptionFailed(Exception):
    """The ciphertext was changed, belongs to another tenant or key, or was encrypted with another key."""


class SeedCipher:
    """Encrypts and decrypts seeds with the installation's 32-byte key."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    @classmethod
    def from_file(cls, path: Path) -> "SeedCipher":
        """Read the key (64 hexadecimal digits) that `artcafe bootstrap` created."""
        return cls(read_secret(path))

    def encrypt(self, seed: str, *, tenant_id: str, public: str) -> str:
        """The nonce and the ciphertext, in base64."""
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._aead.encrypt(nonce, seed.encode(), _associated_data(tenant_id, public))
        return base64.b64encode(nonce + ciphertext).decode()

    def decrypt(self, encrypted: str, *, tenant_id: str, public: str) -> str:
        """The seed. Raises DecryptionFailed unless it was encrypted for this tenant and public key."""
        raw = base64.b64decode(encrypted)
        nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        try:
            seed = self._aead.decrypt(nonce, ciphertext, _associated_data(tenant_id, public))
        except InvalidTag as error:
            raise DecryptionFailed from error
        return seed.decode()


def _associated_data(tenant_id: str, public: str) -> bytes:
    return f"{tenant_id}|{public}".encode()
