"""Verifies the signatures by which clients prove the messages that they publish directly over NATS.

A signature is valid for 30 s around the time at which the message is received or stored, and for the key that the
client has when the message is read.
"""

import asyncio
import re
from collections.abc import Iterable

import msgspec

from artcafe_common.broker.message_signatures import SIGNATURE_HEADER, SIGNATURE_VERSION, signed_text
from artcafe_common.broker.nkeys import decode_signature
from artcafe_common.token_bucket import TokenBucket
from artcafe_gateway.delivery.client_keys import ClientKeys, SignatureResult

# A signature, of a client or a gateway, is valid this long before and after the time at which the message is received or
# stored, so that an observer cannot publish a copy of the message later.
MAX_AGE_MS = 30_000
# Of one organization, through one gateway.
LOOKUPS_PER_S = 100.0
# So that a page of signed messages does not hold up other sockets.
VERIFICATIONS_PER_TURN = 8

_LINE = b"\r\n%b:" % SIGNATURE_HEADER.encode()
_SIGNATURE = re.compile(
    rb"%b *%b ([0-7][0-9A-HJKMNP-TV-Z]{25}) ([0-9]{13}) ([0-9A-Za-z_+/-]{86})={0,2} *\r\n"
    % (_LINE, SIGNATURE_VERSION.encode())
)


class ClientSignature(msgspec.Struct, frozen=True, kw_only=True):
    """The signature of one message; `at_ms` is when the message was received or stored, `text` what must be signed."""

    client_id: str
    signed_at_ms: int
    at_ms: int
    signature: bytes
    text: bytes

    @property
    def is_expired(self) -> bool:
        """Whether the message was signed long before or after it was received."""
        return abs(self.at_ms - self.signed_at_ms) > MAX_AGE_MS


def is_signed(block: bytes) -> bool:
    """Whether a header block has a signature of a client, well-formed or not."""
    return _LINE in block


def parse_signature(subject: str, payload: bytes, block: bytes, at_ms: int) -> ClientSignature | None:
    """The signature in a header block; None if it is malformed."""
    found = _SIGNATURE.search(block)
    if found is None:
        return None
    client_id, signed_at, signature = found.groups()
    return ClientSignature(
        client_id=client_id.decode(),
        signed_at_ms=int(signed_at),
        at_ms=at_ms,
        signature=decode_signature(signature.decode()),
        text=signed_text(client_id, subject, signed_at, payload),
    )


class ClientSignatureVerifier:
    """Verifies the signatures of one organization's clients, at most `rate` a second; 0 is unlimited."""

    def __init__(self, tenant_id: str, keys: ClientKeys, rate: float) -> None:
        self._tenant_id = tenant_id
        self._keys = keys
        self._verifications = TokenBucket(rate)
        self._lookups = TokenBucket(LOOKUPS_PER_S)

    def record_malformed(self) -> None:
        """Count a signature that could not be read."""
        self._keys.results[SignatureResult.INVALID] += 1

    async def load(self, signature: ClientSignature) -> None:
        """Look the client's key up."""
        await self._keys.load(self._tenant_id, signature.client_id)

    def verify(self, signature: ClientSignature, *, may_wait: bool = False) -> SignatureResult | None:
        """What is known of a signature now; None if it `may_wait`, and the key is to be looked up with `load` first."""
        result = self._verify(signature, may_wait=may_wait)
        if result is not None:
            self._keys.results[result] += 1
        return result

    def _verify(self, signature: ClientSignature, *, may_wait: bool) -> SignatureResult | None:
        if signature.is_expired:
            return SignatureResult.EXPIRED
        key = self._keys.cached(self._tenant_id, signature.client_id)
        if key is None:
            if not may_wait or self._keys.is_missing(self._tenant_id, signature.client_id):
                return SignatureResult.UNKNOWN_CLIENT
            return None if self._lookups.try_consume() else SignatureResult.LIMITED
        valid = self._keys.cached_result(key, signature.signature, signature.text)
        if valid is None:
            if not self._verifications.try_consume():
                return SignatureResult.LIMITED
            valid = self._keys.verify(key, signature.signature, signature.text)
        return SignatureResult.VERIFIED if valid else SignatureResult.INVALID

    async def prepare(self, signatures: Iterable[ClientSignature]) -> None:
        """Look up and verify ahead, a few at a time, so that `verify` of a page of messages takes no time."""
        for number, each in enumerate(signatures, 1):
            if each.is_expired:
                continue
            key = self._keys.cached(self._tenant_id, each.client_id)
            if (
                key is None
                and not self._keys.is_missing(self._tenant_id, each.client_id)
                and self._lookups.try_consume()
            ):
                await self.load(each)
                key = self._keys.cached(self._tenant_id, each.client_id)
            if key is not None and self._keys.cached_result(key, each.signature, each.text) is None:
                self._keys.verify(key, each.signature, each.text)
            if number % VERIFICATIONS_PER_TURN == 0:
                await asyncio.sleep(0)
