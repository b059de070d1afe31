"""Replaces the credentials of one service while it runs.

    begin: new credentials beside the old ones, in accounts that accept both
    finish: the old ones are revoked, and the broker closes the connections that still use them

A file in the keys directory remembers what is to be revoked, so that an interrupted rotation can be finished.
"""

import json
import time
from pathlib import Path

import msgspec

from artcafe_common.broker.claims import AccountClaims, Credentials, UserClaims, encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.installation.bootstrap import callout_account, platform_account, system_account
from artcafe_common.installation.permissions import (
    SERVICES,
    callout_permissions,
    service_permissions,
    system_permissions,
)
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.installation.private_files import replace_private
from artcafe_common.installation.renewal import replace_accounts
from artcafe_common.settings import read_key

PENDING_FILE = "rotation.json"
_CALLOUT = "identity-callout"


class _File(msgspec.Struct, frozen=True):
    """A credentials file: its account with name and claims, and the permissions of its user."""

    name: str
    account: str
    account_name: str
    account_claims: AccountClaims
    user_claims: UserClaims


def pending_users(directory: Path, service: str) -> dict[str, str]:
    """The replaced users that are not revoked yet, by the name of their file."""
    path = directory / PENDING_FILE
    if not path.exists():
        return {}
    pending: dict[str, dict[str, str]] = json.loads(read_key(path))
    return pending.get(service, {})


def begin(directory: Path, service: str) -> tuple[list[str], dict[str, str]]:
    """The account JWTs that the broker must have first, and then the new files by name."""
    operator, now = KeyPair(read_key(directory / "operator.nk")), int(time.time())
    accounts: dict[str, tuple[str, AccountClaims, str | None]] = {}
    files, old = {}, {}
    for file in _files(directory, service):
        pair = create_key_pair(KeyKind.USER)
        before = KeyPair(Credentials.parse(read_key(directory / f"{file.name}.creds")).seed).public
        old[file.name] = before
        claims, signing_key = file.account_claims, None
        if file.name == _CALLOUT:
            signer = KeyPair(read_key(directory / "callout.nk"))
            claims, user = callout_account(before, pair.public), file.user_claims
        else:
            signer = create_key_pair(KeyKind.ACCOUNT)
            signing_key = signer.public
            user = msgspec.structs.replace(file.user_claims, issuer_account=file.account)
        accounts[file.account] = (file.account_name, claims, signing_key)
        jwt = encode(user, issuer=signer, subject=pair.public, name=service, issued_at=now)
        files[f"{file.name}.creds"] = Credentials(jwt=jwt, seed=pair.seed).render()
    _remember(directory, service, old)
    return replace_accounts(directory, operator, accounts, now), files


def write_files(directory: Path, files: dict[str, str]) -> None:
    """Write credentials, each file at once."""
    for name, text in files.items():
        replace_private(directory / name, text)


def finish(directory: Path, service: str) -> list[str]:
    """The account JWTs in which the replaced users are revoked."""
    operator, now = KeyPair(read_key(directory / "operator.nk")), int(time.time())
    pending = pending_users(directory, service)
    accounts: dict[str, tuple[str, AccountClaims, str | None]] = {}
    for file in _files(directory, service):
        old = pending.get(file.name)
        current = KeyPair(Credentials.parse(read_key(directory / f"{file.name}.creds")).seed).public
        if old is None or old == current:
            # It was interrupted before the new file was there.
            continue
        claims = callout_account(current) if file.name == _CALLOUT else file.account_claims
        claims = msgspec.structs.replace(claims, revocations={old: now})
        accounts[file.account] = (file.account_name, claims, None)
    return replace_accounts(directory, operator, accounts, now)


def forget(directory: Path, service: str) -> None:
    """The replaced users are revoked."""
    _remember(directory, service, {})


def _remember(directory: Path, service: str, users: dict[str, str]) -> None:
    path = directory / PENDING_FILE
    pending: dict[str, dict[str, str]] = json.loads(read_key(path)) if path.exists() else {}
    pending[service] = users
    pending = {name: each for name, each in pending.items() if each}
    if pending:
        replace_private(path, json.dumps(pending))
    else:
        path.unlink(missing_ok=True)


def _files(directory: Path, service: str) -> list[_File]:
    if service not in SERVICES:
        raise ValueError(f"{service} is no service; the services are {', '.join(SERVICES)}")
    keys, system = load_platform_keys(directory), system_permissions()
    files = [
        _File(service, keys.platform_account, "PLATFORM", platform_account(), service_permissions(service))
    ]
    if service in system:
        name = f"{service}-system"
        files.append(_File(name, keys.system_account, "SYS", system_account(), system[service]))
    if service == "identity":
        auth = _File(_CALLOUT, keys.callout_account, "AUTH", callout_account(), callout_permissions())
        files.append(auth)
    return files
