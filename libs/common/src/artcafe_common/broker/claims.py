"""NATS JWTs: the claims of operators, accounts and users, and their encoding.

Field names and nesting follow nats-io/jwt v2 (https://github.com/nats-io/jwt/tree/main/v2). There is no
maintained Python package for them; this module is tested against nats-server.
"""

import base64
import hashlib
from typing import Any, Self

import msgspec

from artcafe_common.broker.nkeys import KeyKind, KeyPair, decode_signature, verify

NO_LIMIT = -1
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


class InvalidJwtError(ValueError):
    """A JWT that is malformed, or not signed by its issuer."""


class Permission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Allowed and denied subjects; deny takes precedence. An empty `allow` allows everything not denied."""

    allow: list[str] = []
    deny: list[str] = []


class ResponsePermission(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to reply to requests: `max` messages within `ttl` nanoseconds."""

    max: int = 1
    ttl: int = 0


class Export(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subject that an account exports. The token at `account_token_position` must be the importing account's key."""

    name: str
    subject: str
    type: str
    account_token_position: int = 0
    response_type: str = ""


class Import(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An import of another account's export as `local_subject`; `share` discloses the client to the exporter."""

    name: str
    subject: str
    account: str
    type: str
    local_subject: str = ""
    share: bool = False


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that the broker enforces for an account; sizes in bytes."""

    subs: int = NO_LIMIT
    data: int = NO_LIMIT
    payload: int = NO_LIMIT
    imports: int = NO_LIMIT
    exports: int = NO_LIMIT
    wildcards: bool = True
    conn: int = NO_LIMIT
    leaf: int = NO_LIMIT
    mem_storage: int = 0
    disk_storage: int = 0
    streams: int = 0
    consumer: int = 0


class Authorization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The auth callout of an account: the users that serve it, and the accounts that they may assign."""

    auth_users: list[str] = []
    allowed_accounts: list[str] = []


class AccountClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `nats` part of an account JWT."""

    limits: AccountLimits
    signing_keys: list[str] = []
    imports: list[Import] = []
    exports: list[Export] = []
    default_permissions: dict[str, Any] = {}
    authorization: Authorization | None = None
    # Users by public key, with the Unix time until which their JWTs were issued.
    revocations: dict[str, int] = {}
    type: str = msgspec.field(default_factory=lambda: "account")
    version: int = msgspec.field(default_factory=lambda: 2)


class UserClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `nats` part of a user JWT."""

    issuer_account: str = ""
    pub: Permission = Permission()
    sub: Permission = Permission()
    resp: ResponsePermission | None = None
    subs: int = msgspec.field(default_factory=lambda: NO_LIMIT)
    data: int = msgspec.field(default_factory=lambda: NO_LIMIT)
    payload: int = msgspec.field(default_factory=lambda: NO_LIMIT)
    bearer_token: bool = False
    tags: list[str] = []
    type: str = msgspec.field(default_factory=lambda: "user")
    version: int = msgspec.field(default_factory=lambda: 2)


class OperatorClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `nats` part of an operator JWT."""

    system_account: str = ""
    signing_keys: list[str] = []
    type: str = msgspec.field(default_factory=lambda: "operator")
    version: int = msgspec.field(default_factory=lambda: 2)


class ServerId(msgspec.Struct, frozen=True, kw_only=True):
    """The nats-server that sends an authorization request."""

    id: str
    name: str = ""


class ClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that an authorization request is about; `id` is its connection id at the server."""

    id: int = 0
    host: str = ""
    name: str = ""
    kind: str = ""
    type: str = ""
    nonce: str = ""


class ConnectOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a client's CONNECT: its public key and its signature of the nonce."""

    nkey: str = ""
    sig: str = ""
    name: str = ""
    lang: str = ""
    version: str = ""


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The `nats` part of an authorization request."""

    server_id: ServerId
    user_nkey: str
    client_info: ClientInfo
    connect_opts: ConnectOptions


class AuthorizationResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `nats` part of an authorization response: a user JWT or an error."""

    jwt: str = ""
    error: str = ""
    issuer_account: str = ""
    type: str = msgspec.field(default_factory=lambda: "authorization_response")
    version: int = msgspec.field(default_factory=lambda: 2)


class AuthorizationRequestJwt(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization request with its issuer."""

    iss: str
    nats: AuthorizationRequest


Claims = AccountClaims | UserClaims | OperatorClaims | AuthorizationResponse


def encode(
    claims: Claims,
    *,
    issuer: KeyPair,
    subject: str,
    name: str,
    issued_at: int,
    audience: str = "",
    expires_at: int | None = None,
) -> str:
    """The signed JWT; times in Unix seconds. Deterministic."""
    body: dict[str, Any] = {
        "iat": issued_at,
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": claims,
    }
    if audience:
        body["aud"] = audience
    if expires_at is not None:
        body["exp"] = expires_at
    body["jti"] = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
    signed = f"{_b64(msgspec.json.encode(_HEADER))}.{_b64(msgspec.json.encode(body))}"
    return f"{signed}.{_b64(issuer.sign(signed.encode()))}"


def decode_authorization_request(token: str) -> AuthorizationRequestJwt:
    """Decode an authorization request. Raises InvalidJwtError unless its issuer, a server key, signed it."""
    signed, _, signature = token.rpartition(".")
    try:
        request = msgspec.json.decode(
            decode_signature(signed.partition(".")[2]), type=AuthorizationRequestJwt
        )
    except msgspec.DecodeError as error:
        raise InvalidJwtError("not an authorization request") from error
    if not verify(request.iss, KeyKind.SERVER, signed.encode(), decode_signature(signature)):
        raise InvalidJwtError("not signed by its issuer")
    return request


def issuer_of(token: str) -> str:
    """The issuer's public key in a JWT; the signature is not verified."""
    return str(_body_of(token)["iss"])


def claims_of(token: str) -> dict[str, Any]:
    """The `nats` part of a JWT; the signature is not verified."""
    claims: dict[str, Any] = _body_of(token)["nats"]
    return claims


def expiry_of(token: str) -> int:
    """The time at which a JWT expires in Unix seconds, 0 if it does not; the signature is not verified."""
    return int(_body_of(token).get("exp", 0))


def to_claims(claims: Claims) -> dict[str, Any]:
    """Claims as `claims_of` reads them from a JWT."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(claims))
    return decoded


def _body_of(token: str) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(decode_signature(token.split(".")[1]))
    return body


def signing_keys_of(token: str) -> list[str]:
    """The signing keys in the JWT of an account or operator; the signature is not verified."""
    body = msgspec.json.decode(decode_signature(token.split(".")[1]), type=_SignerJwt)
    return body.nats.signing_keys


class _SigningKeys(msgspec.Struct, frozen=True):
    signing_keys: list[str] = []


class _SignerJwt(msgspec.Struct, frozen=True):
    nats: _SigningKeys


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a NATS `.creds` file: a user JWT and the user's seed."""

    jwt: str
    seed: str

    def render(self) -> str:
        """The text of a `.creds` file."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a `.creds` file. Raises ValueError if a part is missing."""
        lines = [line.strip() for line in text.splitlines()]
        try:
            jwt = lines[next(i for i, line in enumerate(lines) if "BEGIN NATS USER JWT" in line) + 1]
            seed = lines[next(i for i, line in enumerate(lines) if "BEGIN USER NKEY SEED" in line) + 1]
        except (StopIteration, IndexError) as error:
            raise ValueError("not a NATS credentials file") from error
        return cls(jwt=jwt, seed=seed)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
