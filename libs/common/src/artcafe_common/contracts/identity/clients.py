"""Authentication of clients by their NKeys."""

from datetime import datetime

import msgspec

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError


class AuthenticationFailed(CommandError):
    """The signature, key, challenge or token was rejected; the reason is not disclosed."""

    status = 401
    code = "authentication_failed"
    title = "Authentication failed"
    remedy = "Check the id and the key. A challenge is valid once and until it expires: request a new one for each attempt."


class KeyRateExceeded(CommandError):
    """The organization created more than 100 keys in the last hour."""

    status = 429
    code = "key_rate_exceeded"
    title = "Too many keys were created in the last hour"
    remedy = "Wait for the time in `Retry-After`, and reuse the keys that exist."


class KeyPairIssued(msgspec.Struct, frozen=True, kw_only=True):
    """A new key; the seed exists nowhere else once this reply is read."""

    nkey_public: str
    nkey_seed: str


class Permissions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subject patterns that a client may publish to and subscribe to, inside of its tenant."""

    publish: list[str] = msgspec.field(default_factory=lambda: [">"])
    subscribe: list[str] = msgspec.field(default_factory=lambda: [">"])


class ClientIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A client that proved its key; `account` is the public key of its tenant's NATS account."""

    client_id: str
    tenant_id: str
    account: str
    name: str
    permissions: Permissions


class ClientChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A text to sign, good for one use until `expires_at`."""

    nonce: str
    expires_at: datetime


class IssueClientKey(Command[KeyPairIssued], frozen=True, kw_only=True):
    """Make a user NKey for a client of the caller's tenant; only the caller ever sees the seed."""

    subject = "artcafe.identity.client.issue_key"
    callers = ("tenancy",)
    raises = (KeyRateExceeded,)


class CreateClientChallenge(Command[ClientChallenge], frozen=True, kw_only=True):
    """A stored nonce for a WebSocket that authenticates in its URL; the same for unknown clients."""

    subject = "artcafe.identity.client.challenge"
    client_id: str


class AuthenticateClient(Command[ClientIdentity], frozen=True, kw_only=True):
    """Check a client's signature (base64) over `nonce`.

    With `stored`, the nonce is one of CreateClientChallenge and is used up; without, it is one
    that the gateway made for this very connection. `nkey` is what the client says its key is.
    """

    subject = "artcafe.identity.client.authenticate"
    raises = (AuthenticationFailed,)
    client_id: str
    nonce: str
    signature: str
    stored: bool
    nkey: str | None = None
