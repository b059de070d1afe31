"""A client's key."""

import base64
import binascii
import hashlib
import time

import nkeys

from artcafe_client.errors import ConfigurationError

USER_SEED_PREFIX = "SU"


class Identity:
    """A client's id and key. The seed is never shown by `repr`."""

    def __init__(self, client_id: str, seed: str) -> None:
        self.client_id = client_id
        self.seed = seed.strip()
        try:
            if not self.seed.startswith(USER_SEED_PREFIX):
                raise ConfigurationError("the seed is not valid; it must be one line that starts with SU")
            self._key = nkeys.from_seed(self.seed.encode())
            self.public_key = str(self._key.public_key.decode())
        except (nkeys.NkeysError, binascii.Error, UnicodeError, ValueError):
            raise ConfigurationError(
                "the seed is not valid; it must be one line that starts with SU"
            ) from None

    def __repr__(self) -> str:
        return f"Identity({self.client_id!r})"

    def sign(self, data: bytes) -> str:
        """The signature of bytes, in base64url without padding."""
        return base64.urlsafe_b64encode(self._key.sign(data)).rstrip(b"=").decode()

    def sign_message(self, subject: str, payload: bytes) -> str:
        """The header `Artcafe-Signature` of a message that is published directly over NATS."""
        at = str(time.time_ns() // 1_000_000)
        digest = hashlib.sha256(payload).hexdigest()
        lines = ("artcafe-signature-v1", self.client_id, subject, at, digest)
        return f"v1 {self.client_id} {at} {self.sign(chr(10).join(lines).encode())}"
