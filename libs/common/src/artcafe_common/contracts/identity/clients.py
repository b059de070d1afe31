"""Authentication of clients by their NKeys."""

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError


class AccountSuspended(CommandError):
    """The operator suspended the organization: its members cannot use it and its clients cannot connect until it resumes."""

    status = 403
    code = "account_suspended"
    title = "The organization is suspended"
    remedy = "Ask the operator. Nothing of the organization was deleted."


class AccountDeleted(CommandError):
    """An owner deleted the organization: its clients cannot connect, and its members can only read, export or restore it."""

    status = 403
    code = "account_deleted"
    title = "The organization is deleted"
    remedy = (
        "An owner can restore it with `POST /api/v1/accounts/{account_id}/restore` until its `deletion_at`."
    )


# What keeps all clients and members of an organization out.
ACCOUNT_BLOCKED: tuple[type[CommandError], ...] = (AccountSuspended, AccountDeleted)


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


class IssuedKeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A new NKey; the seed is not stored."""

    nkey_public: str
    nkey_seed: str


class StreamAccess(StrEnum):
    """What a client may do over JetStream's own API: nothing, read the platform's streams, or also keep its own."""

    NONE = "none"
    READ = "read"
    MANAGE = "manage"


class Permissions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subject patterns that a client may publish and subscribe to, within its organization.

    `streams` always has a value: without one, it is `read` if the client may subscribe to everything, else `none`.
    """

    publish: list[str] = msgspec.field(default_factory=lambda: [">"])
    subscribe: list[str] = msgspec.field(default_factory=lambda: [">"])
    streams: StreamAccess | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.streams is UNSET:
            derived = StreamAccess.READ if ">" in self.subscribe else StreamAccess.NONE
            msgspec.structs.force_setattr(self, "streams", derived)


class ClientIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated client; `account` is the public key of its tenant's NATS account.

    `updated_at` is when the client had been changed last.
    """

    client_id: str
    tenant_id: str
    account: str
    name: str
    permissions: Permissions
    updated_at: datetime | None = None


class ClientChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A nonce to sign, valid once and until `expires_at`."""

    nonce: str
    expires_at: datetime


class IssueClientKey(Command[IssuedKeyPair], frozen=True, kw_only=True):
    """Create a user NKey for a client of the caller's tenant."""

    subject = "artcafe.identity.client.issue_key"
    callers = ("tenancy",)
    raises = (KeyRateExceeded,)


class CreateClientChallenge(Command[ClientChallenge], frozen=True, kw_only=True):
    """Create a nonce for a WebSocket that authenticates in its URL. An unknown client gets one too."""

    subject = "artcafe.identity.client.challenge"
    client_id: str


class AuthenticateClient(Command[ClientIdentity], frozen=True, kw_only=True):
    """Authenticate a client by its signature (base64) of `nonce`.

    With `stored`, the nonce is from CreateClientChallenge and is consumed; otherwise the gateway created it for this
    connection. `nkey`, if given, must be the client's public key.
    """

    subject = "artcafe.identity.client.authenticate"
    raises = (AuthenticationFailed, *ACCOUNT_BLOCKED)
    client_id: str
    nonce: str
    signature: str
    stored: bool
    nkey: str | None = None
