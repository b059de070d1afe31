"""Keys, challenges and tokens of agents (legacy)."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import (
    ACCOUNT_BLOCKED,
    AuthenticationFailed,
    ClientIdentity,
    KeyRateExceeded,
)

# Longer than any id that tenancy creates.
Id = Annotated[str, Meta(min_length=1, max_length=128)]


class ChallengeRateExceeded(CommandError):
    """Too many challenges were requested within a minute for this agent, or from this address."""

    status = 429
    code = "challenge_rate_exceeded"
    title = "Too many challenges were requested in the last minute"
    remedy = "Wait for the time in `Retry-After`, and request one challenge for each login."


class AgentKeyType(StrEnum):
    """The supported key types; RSA keys need at least 2048 bits."""

    ED25519 = "ed25519"
    RSA = "rsa"


class AgentKey(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's public key in OpenSSH format, with its OpenSSH fingerprint (`SHA256:…`)."""

    public_key: str
    key_type: AgentKeyType
    fingerprint: str


class IssuedAgentKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key pair; the private key (PEM, PKCS#8) is not stored."""

    key: AgentKey
    private_key: str


class AgentChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge to sign, valid once and until `expires_at`."""

    challenge: str
    expires_at: datetime


class AgentToken(msgspec.Struct, frozen=True, kw_only=True):
    """A JWT that authenticates the agent's WebSocket until `expires_at`."""

    valid: bool
    token: str
    expires_at: datetime


class ParseAgentKey(Command[AgentKey], frozen=True, kw_only=True):
    """Parse a public key in OpenSSH or PEM format. Raises InvalidRequest for an unsupported key."""

    subject = "artcafe.identity.agent.read_key"
    callers = ("tenancy",)
    idempotent = True
    public_key: str


class IssueAgentKey(Command[IssuedAgentKey], frozen=True, kw_only=True):
    """Create a key pair for an agent of the caller's tenant."""

    subject = "artcafe.identity.agent.issue_key"
    callers = ("tenancy",)
    raises = (KeyRateExceeded,)
    key_type: AgentKeyType


class CreateAgentChallenge(Command[AgentChallenge], frozen=True, kw_only=True):
    """Create a challenge for an agent. An unknown agent gets one too, which does not reveal that it is unknown."""

    subject = "artcafe.identity.agent.challenge"
    raises = (ChallengeRateExceeded,)
    agent_id: Id


class VerifyAgent(Command[AgentToken], frozen=True, kw_only=True):
    """Exchange a challenge and its signature (base64) for a token; `tenant_id`, if given, must be the agent's."""

    subject = "artcafe.identity.agent.verify"
    raises = (AuthenticationFailed, *ACCOUNT_BLOCKED)
    agent_id: Id
    challenge: Annotated[str, Meta(max_length=256)]
    signature: Annotated[str, Meta(max_length=2048)]
    tenant_id: Id | None = None


class AuthenticateAgent(Command[ClientIdentity], frozen=True, kw_only=True):
    """Authenticate an agent by its signature of a challenge, which is consumed.

    `client_id` of the reply is the agent's id.
    """

    subject = "artcafe.identity.agent.authenticate"
    raises = (AuthenticationFailed, *ACCOUNT_BLOCKED)
    agent_id: str
    challenge: str
    signature: str
    tenant_id: str | None = None


class AuthenticateAgentToken(Command[ClientIdentity], frozen=True, kw_only=True):
    """Authenticate an agent by a token of VerifyAgent.

    A token is not valid after the agent's key changed, or while the agent is suspended.
    """

    subject = "artcafe.identity.agent.admit"
    raises = (AuthenticationFailed, *ACCOUNT_BLOCKED)
    agent_id: str
    token: str
    tenant_id: str | None = None
