"""identity: who someone is. Tokens of people, NKeys of clients, NATS accounts of tenants."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Command, Nothing
from artcafe_common.bus.errors import CommandError
from artcafe_common.plans import Plan

# No id that we give out is longer.
Id = Annotated[str, Meta(min_length=1, max_length=128)]


class InvalidToken(CommandError):
    """A bearer token that does not verify; the reason stays in our log."""

    status = 401
    code = "invalid_token"
    title = "The token is not valid"


class InvalidCredentials(CommandError):
    """A wrong e-mail or password, without telling which."""

    status = 401
    code = "invalid_credentials"
    title = "The e-mail or password is wrong"


class AuthenticationFailed(CommandError):
    """A client could not prove that it holds its key; says nothing of whether it exists."""

    status = 401
    code = "authentication_failed"
    title = "Authentication failed"


class ChallengeRateExceeded(CommandError):
    """Too many challenges in this minute for one agent and address, or for one address."""

    status = 429
    code = "challenge_rate_exceeded"
    title = "Too many challenges were asked for in the last minute"


class KeyRateExceeded(CommandError):
    """More than 100 keys in an hour for one tenant."""

    status = 429
    code = "key_rate_exceeded"
    title = "Too many keys were created in the last hour"


class ProviderUnavailable(CommandError):
    """The OpenID provider does not answer."""

    status = 503
    code = "provider_unavailable"
    title = "The identity provider is not available"


class AccountMissing(CommandError):
    """No NATS account belongs to what was named."""

    status = 404
    code = "account_missing"
    title = "There is no such broker account"


class SubjectOverlap(CommandError):
    """Something else of the organization keeps some of the same messages."""

    status = 409
    code = "subject_overlap"
    title = "Another one keeps some of the same messages"


class StreamRefused(CommandError):
    """The broker does not take a stream as it is wanted, whatever one tries; `detail` is its reason."""

    status = 409
    code = "stream_refused"
    title = "The broker does not take the stream"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as the OpenID provider's verified token names them."""

    user_id: str
    email: str = ""
    expires_at: datetime


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The provider's tokens; `expires_in` in seconds."""

    access_token: str
    id_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    refresh_token: str | None = None


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


class Nonce(msgspec.Struct, frozen=True, kw_only=True):
    """A text to sign, good for one use until `expires_at`."""

    nonce: str
    expires_at: datetime


class AgentKeyType(StrEnum):
    """The keys that an agent may have; RSA from 2048 bits on."""

    ED25519 = "ed25519"
    RSA = "rsa"


class AgentKey(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's public key in OpenSSH's form; the fingerprint is OpenSSH's, too (`SHA256:…`)."""

    public_key: str
    key_type: AgentKeyType
    fingerprint: str


class AgentKeyIssued(msgspec.Struct, frozen=True, kw_only=True):
    """A new key pair; the private key (PEM, PKCS#8) exists nowhere else once this reply is read."""

    key: AgentKey
    private_key: str


class AgentChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A text to sign, good for one use until `expires_at`."""

    challenge: str
    expires_at: datetime


class AgentToken(msgspec.Struct, frozen=True, kw_only=True):
    """A JWT that opens the agent's own WebSocket, and nothing else, until `expires_at`."""

    valid: bool
    token: str
    expires_at: datetime


class BrokerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account; `platform_key` is the signing key that identity holds in it."""

    account: str
    tenant_id: str
    platform_key: str


class AccountsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts there are, and how many the broker lacked or held otherwise; `examples` are tenants."""

    known: int
    differing: int
    examples: list[str]


class BridgeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user JWT in a tenant's account for the key pair that a gateway made."""

    jwt: str
    account: str


class VerifyUserToken(Command[User], frozen=True, kw_only=True):
    """Check a person's bearer token: signature, issuer, audience, use and times."""

    subject = "artcafe.identity.user.verify"
    raises = (InvalidToken, ProviderUnavailable)
    idempotent = True
    token: str


class Login(Command[Tokens], frozen=True, kw_only=True):
    """Exchange an e-mail and a password for tokens at the provider."""

    subject = "artcafe.identity.user.login"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    email: str
    password: str


class RefreshTokens(Command[Tokens], frozen=True, kw_only=True):
    """Exchange a refresh token for new tokens at the provider."""

    subject = "artcafe.identity.user.refresh"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    refresh_token: str


class EnsureAccount(Command[BrokerAccount], frozen=True, kw_only=True):
    """Give a tenant its NATS account with its plan's limits, or bring the limits up to date."""

    subject = "artcafe.identity.account.ensure"
    idempotent = True
    tenant_id: str
    plan: Plan


class CompareAccounts(Command[AccountsCompared], frozen=True, kw_only=True):
    """Compare every account with what the broker holds; with `push`, give the broker what differs."""

    subject = "artcafe.identity.account.compare"
    deadline_s = 30.0
    idempotent = True
    push: bool = False


class FindAccount(Command[BrokerAccount], frozen=True, kw_only=True):
    """The tenant behind a NATS account's public key."""

    subject = "artcafe.identity.account.find"
    raises = (AccountMissing,)
    idempotent = True
    account: str


class IssueAccountKey(Command[KeyPairIssued], frozen=True, kw_only=True):
    """Give the caller's tenant a new signing key of its own; the one before it is revoked at once."""

    subject = "artcafe.identity.account.issue_key"
    raises = (KeyRateExceeded, AccountMissing)


class IssueClientKey(Command[KeyPairIssued], frozen=True, kw_only=True):
    """Make a user NKey for a client of the caller's tenant; only the caller ever sees the seed."""

    subject = "artcafe.identity.client.issue_key"
    raises = (KeyRateExceeded,)


class CreateClientChallenge(Command[Nonce], frozen=True, kw_only=True):
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


class ReadAgentKey(Command[AgentKey], frozen=True, kw_only=True):
    """Understand a public key in OpenSSH's or PEM form; InvalidRequest for any that no agent may have."""

    subject = "artcafe.identity.agent.read_key"
    idempotent = True
    public_key: str


class IssueAgentKey(Command[AgentKeyIssued], frozen=True, kw_only=True):
    """Make a key pair for an agent of the caller's tenant; only the caller ever sees the private key."""

    subject = "artcafe.identity.agent.issue_key"
    raises = (KeyRateExceeded,)
    key_type: AgentKeyType


class CreateAgentChallenge(Command[AgentChallenge], frozen=True, kw_only=True):
    """A stored challenge for an agent; the same for unknown agents, which nobody can answer for."""

    subject = "artcafe.identity.agent.challenge"
    raises = (ChallengeRateExceeded,)
    agent_id: Id


class VerifyAgent(Command[AgentToken], frozen=True, kw_only=True):
    """Exchange a challenge and its signature (base64) for a token; `tenant_id`, if given, must be right."""

    subject = "artcafe.identity.agent.verify"
    raises = (AuthenticationFailed,)
    agent_id: Id
    challenge: Annotated[str, Meta(max_length=256)]
    signature: Annotated[str, Meta(max_length=2048)]
    tenant_id: Id | None = None


class AuthenticateAgent(Command[ClientIdentity], frozen=True, kw_only=True):
    """Check an agent's signature of a challenge, which is used up; its id is the identity's `client_id`."""

    subject = "artcafe.identity.agent.authenticate"
    raises = (AuthenticationFailed,)
    agent_id: str
    challenge: str
    signature: str
    tenant_id: str | None = None


class AdmitAgent(Command[ClientIdentity], frozen=True, kw_only=True):
    """Check the token of VerifyAgent; it ends with the agent's key, and when the agent is suspended."""

    subject = "artcafe.identity.agent.admit"
    raises = (AuthenticationFailed,)
    agent_id: str
    token: str
    tenant_id: str | None = None


class IssueBridgeCredentials(Command[BridgeCredentials], frozen=True, kw_only=True):
    """Let a gateway into a tenant's account with the public key of a pair that it made."""

    subject = "artcafe.identity.bridge.issue"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    nkey_public: str
    server_id: str


class EnsureStream(Command[Nothing], frozen=True, kw_only=True):
    """Make a tenant's stream, or bring it up to date; one of a higher `version` is left as it is.

    `max_age_s` in seconds; None is no limit. What is kept is published again on its subject behind
    `again_on`, if that is given, with its sequence number in a header.
    """

    subject = "artcafe.identity.stream.ensure"
    raises = (AccountMissing, SubjectOverlap, StreamRefused)
    idempotent = True
    tenant_id: str
    stream: str
    version: int
    subjects: list[str]
    max_bytes: int
    max_age_s: int | None = None
    max_messages: int | None = None
    max_messages_per_subject: int | None = None
    again_on: str | None = None


class RemoveStream(Command[Nothing], frozen=True, kw_only=True):
    """Delete a tenant's stream with all that is in it; one that is not there is fine."""

    subject = "artcafe.identity.stream.remove"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str


class PurgeStream(Command[Nothing], frozen=True, kw_only=True):
    """Delete what a tenant's stream holds of one subject; a stream that is not there holds nothing."""

    subject = "artcafe.identity.stream.purge"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    stream: str
    of: str
