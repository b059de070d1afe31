"""The signature by which a client proves, over direct NATS, that a message is its own.

    Artcafe-Signature: v1 {client id} {time in ms since the epoch} {signature, base64url}

The client's NKey signs the text of `signed_text`. It begins with a line that no login nonce has, so that neither is
taken for the other.
"""

import base64
import hashlib
import time

from artcafe_common.broker.nkeys import KeyPair

SIGNATURE_HEADER = "Artcafe-Signature"
SIGNATURE_VERSION = "v1"
_FIRST_LINE = b"artcafe-signature-v1"


def signed_text(client_id: bytes, subject: str, time_ms: bytes, payload: bytes) -> bytes:
    """What a client signs: its id, the subject that it publishes on, the time and the payload."""
    digest = hashlib.sha256(payload).hexdigest().encode()
    return b"\n".join((_FIRST_LINE, client_id, subject.encode(), time_ms, digest))


def sign_message(
    key: KeyPair, client_id: str, subject: str, payload: bytes, *, time_ms: int | None = None
) -> dict[str, str]:
    """The header of a message that is published on `subject` now, or at `time_ms`."""
    at = str(time.time_ns() // 1_000_000 if time_ms is None else time_ms)
    signature = key.sign(signed_text(client_id.encode(), subject, at.encode(), payload))
    encoded = base64.urlsafe_b64encode(signature).decode().rstrip("=")
    return {SIGNATURE_HEADER: f"{SIGNATURE_VERSION} {client_id} {at} {encoded}"}
