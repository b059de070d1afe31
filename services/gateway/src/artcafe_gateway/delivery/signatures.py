"""Signatures of the messages that gateways publish, which prove the sender in `Artcafe-From`.

Any NATS user of the account can write that header. A gateway therefore starts the header block with

    NATS/1.0
    Artcafe-From: {client id; empty for a person}
    Artcafe-Auth: {time in ms, 11 hex digits}{length of the next headers, 4 hex digits}{MAC, 32 hex digits}

and only a block of exactly this form proves a sender. The MAC is a keyed BLAKE2b of the sender, the subject, the
time, the next headers and the payload. All gateways of an installation have the key; no client has it.
"""

import hashlib
import hmac
import math
import re
import time

from artcafe_common.key_ring import KeyRing
from artcafe_common.tracing import DISABLED, Tracer
from artcafe_gateway.delivery.client_signatures import MAX_AGE_MS, ClientSignatureVerifier
from artcafe_gateway.delivery.read_time import ReadTime

_TIME_DIGITS, _LENGTH_DIGITS, _MAC_DIGITS = 11, 4, 32
_MAX_HEADERS = 16**_LENGTH_DIGITS - 1
_SIGNED_START = re.compile(
    rb"NATS/1\.0\r\nArtcafe-From: ([0-9A-Za-z]*)\r\nArtcafe-Auth: ([0-9a-f]{%d})([0-9a-f]{%d})\r\n"
    % (_TIME_DIGITS + _LENGTH_DIGITS, _MAC_DIGITS)
)


def derive_signing_key(secret: bytes) -> bytes:
    """The key that all gateways share, derived from another secret that they share."""
    return hashlib.blake2b(key=secret, person=b"artcafe senders", digest_size=32).digest()


Keyed = hashlib.blake2b
# The start of a block by the sender; what follows is the fields, the MAC, and without headers of the publisher the end.
_START = b"NATS/1.0\r\nArtcafe-From: %b\r\nArtcafe-Auth: "
_START_FORM = re.compile(rb"NATS/1\.0\r\nArtcafe-From: ([0-9A-Za-z]*)\r\nArtcafe-Auth: ")
_NO_HEADERS = b"0" * _LENGTH_DIGITS
_END = b"\r\n\r\n"
_MAC_AT = -_MAC_DIGITS - len(_END)
_FIELDS_AT = _MAC_AT - _TIME_DIGITS - _LENGTH_DIGITS
MAX_PREFIXES = 1_000


class MessageSigner:
    """Signs and verifies the messages of one tenant; `clients` verifies those that clients signed themselves."""

    def __init__(
        self,
        secrets: KeyRing,
        tenant_id: str,
        tracer: Tracer = DISABLED,
        clients: ClientSignatureVerifier | None = None,
    ) -> None:
        self.tenant_id = tenant_id
        self.tracer = tracer
        self.clients = clients
        self._secrets = secrets
        self._keyed: dict[bytes, Keyed] = {}
        # By the start of a block and the subject: the sender, and the hash up to the fields with the key in use.
        self._prefixes: dict[tuple[bytes, bytes], tuple[bytes, Keyed]] = {}
        self._prefix_keys = secrets.keys
        self._prefixes_end_at_ms: float = 0.0
        # Counts the keys that were in use.
        self._epoch = 0
        self._signers: dict[tuple[str, str], SubjectSigner] = {}
        # When the last message without headers was signed, and its fields: many are signed within one millisecond.
        self._now_ms, self._now_fields = 0, b""

    def _keyed_with(self, secret: bytes) -> "Keyed":
        keyed = self._keyed.get(secret)
        if keyed is None:
            key = hashlib.blake2b(self.tenant_id.encode(), key=secret, person=b"artcafe sender").digest()
            keyed = self._keyed[secret] = hashlib.blake2b(key=key, digest_size=_MAC_DIGITS // 2)
        return keyed.copy()

    def sign(self, sender: str, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> bytes:
        """The header block of a message; ValueError if the headers exceed 64 KiB."""
        if not headers:
            return self._sign_without_headers(sender, subject, payload)
        lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in headers.items())
        if len(lines) > _MAX_HEADERS:
            raise ValueError("the headers are too long")
        raw_sender, fields = sender.encode(), b"%011x%04x" % (time.time_ns() // 1_000_000, len(lines))
        mac = _mac(self._keyed_with(self._secrets.current), raw_sender, subject, fields, lines, payload)
        return b"NATS/1.0\r\nArtcafe-From: %b\r\nArtcafe-Auth: %b%b\r\n%b\r\n" % (
            raw_sender,
            fields,
            mac,
            lines,
        )

    def _sign_without_headers(self, sender: str, subject: str, payload: bytes) -> bytes:
        signer = self._signers.get((sender, subject))
        if signer is None:
            if len(self._signers) >= MAX_PREFIXES:
                self._signers.clear()
            signer = self._signers[sender, subject] = SubjectSigner(self, sender, subject)
        return signer.start + signer.sign_end(payload)

    def verify_sender(
        self, subject: bytes, payload: bytes, block: bytes, read_time: ReadTime
    ) -> bytes | None:
        """The sender of a message that a gateway signed with the key in use, and that has no other headers.

        None if only `verify` can tell.
        """
        start = block[:_FIELDS_AT]
        self._follow_key(read_time.at_ms)
        prefix = known = self._prefixes.get((start, subject))
        if prefix is None:
            form = _START_FORM.fullmatch(start)
            if form is None:
                return None
            prefix = (form[1], self.hash_prefix(form[1], subject))
        keyed = prefix[1].copy()
        fields = block[_FIELDS_AT:_MAC_AT]
        keyed.update(b"%b\n%b" % (fields, payload))
        # The MAC covers the fields, so they have their form if it is right.
        if not hmac.compare_digest(block[_MAC_AT:], keyed.hexdigest().encode() + _END):
            return None
        if fields != read_time.recent_fields:
            if (
                fields[_TIME_DIGITS:] != _NO_HEADERS
                or abs(read_time.at_ms - int(fields[:_TIME_DIGITS], 16)) > MAX_AGE_MS
            ):
                return None
            read_time.recent_fields = fields
        if known is None:
            self._remember_prefix(start, subject, prefix)
        return prefix[0]

    def _follow_key(self, now_ms: int) -> None:
        """Forgets the hashes with the key that was in use before, if another is now."""
        if self._secrets.keys is self._prefix_keys and now_ms < self._prefixes_end_at_ms:
            return
        self._prefixes.clear()
        self._epoch += 1
        self._prefix_keys = self._secrets.keys
        now = time.time()
        starts = [key.valid_from for key in self._prefix_keys if key.valid_from > now]
        self._prefixes_end_at_ms = min(starts, default=math.inf) * 1000

    def _remember_prefix(self, start: bytes, subject: bytes, prefix: tuple[bytes, Keyed]) -> None:
        if len(self._prefixes) >= MAX_PREFIXES:
            self._prefixes.clear()
        self._prefixes[start, subject] = prefix

    def hash_prefix(self, sender: bytes, subject: bytes) -> "Keyed":
        """The hash of a message up to its fields, with the key in use."""
        keyed = self._keyed_with(self._secrets.current)
        keyed.update(b"%b\n%b\n" % (sender, subject))
        return keyed

    def begin(self) -> tuple[int, bytes]:
        """A number that changes with the key in use, and the fields of a message without headers that is signed now."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms != self._now_ms or self._secrets.keys is not self._prefix_keys:
            self._follow_key(now_ms)
            self._now_ms, self._now_fields = now_ms, b"%011x%b" % (now_ms, _NO_HEADERS)
        return self._epoch, self._now_fields

    def unique_id(self, publisher: str, subject: str, message_id: str) -> str:
        """The id by which the broker recognizes a repeated message of one publisher.

        It is a keyed hash, so that nobody else can use up the id of a message that is still to be published.
        """
        # The first key of the file: a replaced key does not change the ids of messages that are repeated meanwhile.
        keyed = self._keyed_with(self._secrets.keys[0].secret)
        keyed.update(b"id\n%b\n%b\n%b" % (publisher.encode(), subject.encode(), message_id.encode()))
        return keyed.hexdigest()

    def verify(self, subject: str, payload: bytes, block: bytes, at_ms: int) -> tuple[str, bytes] | None:
        """The sender, empty for a person, and the header lines that a gateway signed.

        None for a message of anyone else, and for one that was signed long before or after `at_ms`.
        """
        start = _SIGNED_START.match(block)
        if start is None:
            return None
        sender, fields, mac = start.groups()
        at = start.end()
        end = at + int(fields[_TIME_DIGITS:], 16)
        lines = block[at:end]
        if abs(at_ms - int(fields[:_TIME_DIGITS], 16)) > MAX_AGE_MS or not _is_end(block[end:]):
            return None
        for secret in self._secrets_of(at_ms):
            expected = _mac(self._keyed_with(secret), sender, subject, fields, lines, payload)
            if hmac.compare_digest(mac, expected):
                return sender.decode(), lines
        return None

    def _secrets_of(self, at_ms: int) -> list[bytes]:
        """The keys that may have signed a message of this time; a stored message is verified with the key of its time."""
        keys = self._secrets.keys
        if len(keys) == 1:
            return [keys[0].secret]
        at = at_ms / 1000
        margin = 2 * MAX_AGE_MS / 1000
        # Each key signs until the next one begins.
        ends = [*(key.valid_from for key in keys[1:]), math.inf]
        return [
            key.secret
            for key, end in zip(keys, ends, strict=True)
            if key.valid_from - margin <= at < end + margin
        ]


class SubjectSigner:
    """Signs the messages of one sender on one subject that have no headers of their own, as `MessageSigner.sign` does.

    A block is `start` and what `sign_end` returns: `block_size` bytes.
    """

    __slots__ = ("_epoch", "_keyed", "_sender", "_signer", "_subject", "block_size", "start")

    def __init__(self, signer: MessageSigner, sender: str, subject: str) -> None:
        self._signer = signer
        self._sender, self._subject = sender.encode(), subject.encode()
        self._epoch = -1
        self._keyed: Keyed = hashlib.blake2b()
        self.start = _START % self._sender
        self.block_size = len(self.start) - _FIELDS_AT

    def sign_end(self, payload: bytes) -> bytes:
        """The fields, the MAC and the end of a message's block."""
        epoch, fields = self._signer.begin()
        if epoch != self._epoch:
            self._epoch, self._keyed = epoch, self._signer.hash_prefix(self._sender, self._subject)
        keyed = self._keyed.copy()
        keyed.update(b"%b\n%b" % (fields, payload))
        return b"%b%b\r\n\r\n" % (fields, keyed.hexdigest().encode())


def _mac(keyed: Keyed, sender: bytes, subject: str, fields: bytes, lines: bytes, payload: bytes) -> bytes:
    # No sender, subject or field has a line break, and `fields` has the length of `lines`: no two messages
    # have the same input.
    keyed.update(b"%b\n%b\n%b\n%b" % (sender, subject.encode(), fields, lines))
    keyed.update(payload)
    return keyed.hexdigest().encode()


def _is_end(rest: bytes) -> bool:
    """Whether nothing but headers of the broker follows."""
    return rest == b"\r\n" or (
        rest.endswith(b"\r\n\r\n") and all(line.startswith(b"Nats-") for line in rest[:-4].split(b"\r\n"))
    )
