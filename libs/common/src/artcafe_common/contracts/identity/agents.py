"""Keys, challenges and tokens of legacy agents."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity, KeyRateExceeded

# No id that we give out is longer.
Id = Annotated[str, Meta(min_length=1, max_length=128)]


class ChallengeRateExceeded(CommandError):
    """Too many challenges were requested within a minute for this agent, or from this address."""

    status = 429
    code = "challenge_rate_exceeded"
    title = "Too many challenges were requested in the last minute"
    remedy = "Wait for the time in `Retry-After`, and request one challenge for each login."


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


class ParseAgentKey(Command[AgentKey], frozen=True, kw_only=True):
    """Understand a public key in OpenSSH's or PEM form; InvalidRequest for any that no agent may have."""

    subject = "artcafe.identity.agent.read_key"
    callers = ("tenancy",)
    idempotent = True
    public_key: str


class IssueAgentKey(Command[AgentKeyIssued], frozen=True, kw_only=True):
    """Make a key pair for an agent of the caller's tenant; only the caller ever sees the private key."""

    subject = "artcafe.identity.agent.issue_key"
    callers = ("tenancy",)
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


class AuthenticateAgentToken(Command[ClientIdentity], frozen=True, kw_only=True):
    """Check the token of VerifyAgent; it ends with the agent's key, and when the agent is suspended."""

    subject = "artcafe.identity.agent.admit"
    raises = (AuthenticationFailed,)
    agent_id: str
    token: str
    tenant_id: str | None = None
