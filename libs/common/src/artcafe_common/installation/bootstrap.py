"""Creates the keys, credentials and server configuration of a new installation.

All of them are in one directory; each service needs only its own files of it (docs/operate/install.md).
"""

import json
import secrets
import time
from pathlib import Path

import msgspec

from artcafe_common.broker.claims import (
    AccountClaims,
    AccountLimits,
    Authorization,
    Claims,
    Credentials,
    Export,
    Permission,
    UserClaims,
    encode,
)
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.installation.nats_server import (
    ACCOUNTS_FILE,
    NatsServerConfig,
    write_server_configuration,
)
from artcafe_common.installation.operator_keys import OPERATOR_FILE, RESERVE_FILE, operator_jwt
from artcafe_common.installation.permissions import (
    INGEST_EXPORT,
    PRESENCE_EXPORT,
    SERVICES,
    STREAM_API_EXPORT,
    callout_permissions,
    service_permissions,
    system_permissions,
)
from artcafe_common.installation.platform_keys import FILE_NAME, PlatformKeys
from artcafe_common.installation.private_files import write_private

_NO_STORAGE = AccountLimits()
_UNLIMITED = AccountLimits(mem_storage=-1, disk_storage=-1, streams=-1, consumer=-1)
_POWERLESS = UserClaims(bearer_token=True, pub=Permission(deny=[">"]), sub=Permission(deny=[">"]))
# Secrets of 32 bytes that services share or use alone.
SECRETS = ("sealing.key", "agent-token.key", "cursor.key", "answers.key")


def bootstrap(directory: Path, *servers: NatsServerConfig) -> PlatformKeys:
    """Write keys, credentials and the servers' configurations; FileExistsError if the directory has keys already."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (directory / FILE_NAME).exists():
        raise FileExistsError(f"{directory} contains the keys of an installation already")
    now = int(time.time())
    operator, reserve = create_key_pair(KeyKind.OPERATOR), create_key_pair(KeyKind.OPERATOR)
    system, callout, platform = (create_key_pair(KeyKind.ACCOUNT) for _ in range(3))

    def user(account: KeyPair, name: str, claims: UserClaims) -> tuple[str, Credentials]:
        pair = create_key_pair(KeyKind.USER)
        jwt = encode(claims, issuer=account, subject=pair.public, name=name, issued_at=now)
        return pair.public, Credentials(jwt=jwt, seed=pair.seed)

    def sign(pair: KeyPair, name: str, claims: Claims) -> str:
        return encode(claims, issuer=operator, subject=pair.public, name=name, issued_at=now)

    callout_user, callout_credentials = user(callout, "identity", callout_permissions())
    _, sentinel = user(callout, "sentinel", _POWERLESS)
    files = {
        "identity-callout.creds": callout_credentials.render(),
        OPERATOR_FILE: operator.seed,
        RESERVE_FILE: reserve.seed,
        "callout.nk": callout.seed,
        **{name: secrets.token_hex(32) for name in SECRETS},
    }
    for service in SERVICES:
        files[f"{service}.creds"] = user(platform, service, service_permissions(service))[1].render()
    for service, claims in system_permissions().items():
        files[f"{service}-system.creds"] = user(system, service, claims)[1].render()
    accounts = {
        system.public: sign(system, "SYS", system_account()),
        callout.public: sign(callout, "AUTH", callout_account(callout_user)),
        platform.public: sign(platform, "PLATFORM", platform_account()),
    }
    files[ACCOUNTS_FILE] = json.dumps(
        {
            "operator": operator_jwt(operator, [reserve.public], system_account=system.public, now=now),
            "preload": accounts,
            "sentinel": sentinel.jwt,
            "system": system.public,
        }
    )
    for name, text in files.items():
        write_private(directory / name, text)
    for server in servers:
        write_server_configuration(directory, server)
    keys = PlatformKeys(
        operator=operator.public,
        system_account=system.public,
        callout_account=callout.public,
        platform_account=platform.public,
    )
    # Written last: its presence means that the installation is complete.
    write_private(directory / FILE_NAME, json.dumps(msgspec.to_builtins(keys), indent=2))
    return keys


def system_account() -> AccountClaims:
    """Claims of the system account."""
    return AccountClaims(limits=_NO_STORAGE)


def callout_account(*users: str) -> AccountClaims:
    """Claims of the account of the auth callout, which these users serve."""
    authorization = Authorization(auth_users=[*users], allowed_accounts=["*"])
    return AccountClaims(limits=_NO_STORAGE, authorization=authorization)


def platform_account() -> AccountClaims:
    """Claims of the platform's account: what the tenants' accounts may import."""
    # The broker replaces the token at `account_token_position` by the key of the importing account,
    # so that a tenant can neither publish nor subscribe as another one.
    return AccountClaims(
        limits=_UNLIMITED,
        exports=[
            Export(name="ingest", subject=INGEST_EXPORT, type="service", account_token_position=3),
            Export(name="stream api", subject=STREAM_API_EXPORT, type="service", account_token_position=3),
            Export(name="notices", subject=PRESENCE_EXPORT, type="stream", account_token_position=3),
        ],
    )
