"""Bearer tokens of clients, for REST and server-sent events."""

import base64
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.bus.command import Command
from artcafe_common.contracts.identity.clients import ACCOUNT_BLOCKED, AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.identity.users import InvalidToken

# The `typ` header, which tells a client's token from a person's.
CLIENT_TOKEN_TYPE = "client+jwt"  # noqa: S105 - no secret
MAX_TTL_S = 3600
T = TypeVar("T", bound=msgspec.Struct)
# Few enough for the header of a request.
ScopePatterns = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=20)]


class TokenScope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Patterns that narrow what a token may do; without a list, the client's permissions alone decide."""

    publish: ScopePatterns | UnsetType = UNSET
    subscribe: ScopePatterns | UnsetType = UNSET


class ClientToken(msgspec.Struct, frozen=True, kw_only=True):
    """A client's bearer token, valid until `expires_at` or until its key is replaced or revoked."""

    token: str
    expires_at: datetime


class TokenIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The client of a valid token, and what narrows its permissions."""

    client: ClientIdentity
    scope: TokenScope
    expires_at: datetime


class IssueClientToken(Command[ClientToken], frozen=True, kw_only=True):
    """Exchange a nonce and its signature (base64url) for a bearer token, which is valid for `ttl_s` seconds.

    The nonce is that of `POST /api/v1/auth/client/challenge`. The token may do what both the client's permissions and
    `scope` allow.
    """

    subject = "artcafe.identity.client.issue_token"
    raises = (AuthenticationFailed, *ACCOUNT_BLOCKED)
    client_id: Annotated[str, Meta(min_length=1, max_length=128)]
    nonce: Annotated[str, Meta(max_length=256)]
    signature: Annotated[str, Meta(max_length=256)]
    scope: TokenScope = TokenScope()
    ttl_s: Annotated[int, Meta(ge=1, le=MAX_TTL_S)] = MAX_TTL_S


class AuthenticateClientToken(Command[TokenIdentity], frozen=True, kw_only=True):
    """Authenticate a client by a token of IssueClientToken.

    A token is not valid after the client's key changed, or while the client is suspended.
    """

    subject = "artcafe.identity.client.admit"
    raises = (InvalidToken, *ACCOUNT_BLOCKED)
    idempotent = True
    token: str


class _Header(msgspec.Struct, frozen=True):
    typ: str = ""


class _Claims(msgspec.Struct, frozen=True):
    sub: str = ""


def is_client_token(token: str) -> bool:
    """Whether a bearer token claims to be a client's; identity alone can verify that."""
    return _decode_part(token, 0, _Header()).typ == CLIENT_TOKEN_TYPE


def read_client_id(token: str) -> str:
    """The id of the client that a token claims to be of; empty without one."""
    return _decode_part(token, 1, _Claims()).sub


def _decode_part(token: str, index: int, default: T) -> T:
    parts = token.split(".", 3)
    try:
        raw = base64.urlsafe_b64decode(parts[index] + "==")
        return msgspec.json.decode(raw, type=type(default))
    except (IndexError, ValueError, msgspec.DecodeError, RecursionError):
        return default
