"""Renews what `artcafe bootstrap` signed in an existing installation: the accounts and the services' credentials.

The keys of the accounts SYS and PLATFORM are not stored, so that nobody can issue further users with them. The
operator's key adds a new signing key to each account; that signs the credentials, and is not stored either.
"""

import json
import re
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from artcafe_common.broker.claims import (
    AccountClaims,
    Credentials,
    UserClaims,
    claims_of,
    encode,
    signing_keys_of,
)
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.installation.bootstrap import SECRETS, callout_account, platform_account, system_account
from artcafe_common.installation.nats_server import ACCOUNTS_FILE, CONFIGURATION_FILES
from artcafe_common.installation.operator_keys import (
    ensure_reserve,
    operator_jwt,
    read_operator,
    trusted_keys,
)
from artcafe_common.installation.permissions import (
    SERVICES,
    callout_permissions,
    service_permissions,
    system_permissions,
)
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.installation.private_files import replace_private, write_private
from artcafe_common.settings import read_key


def renew(directory: Path) -> None:
    """Sign the accounts and all credentials again with the permissions of this release.

    Keys stay as they are, and earlier credentials stay valid. Secrets that this release adds are created. Takes
    effect when nats-server has restarted, and then the services. Repeatable, also after an interruption.
    """
    keys = load_platform_keys(directory)
    operator, reserve = read_operator(directory), ensure_reserve(directory)
    callout = KeyPair(read_key(directory / "callout.nk"))
    system, platform = create_key_pair(KeyKind.ACCOUNT), create_key_pair(KeyKind.ACCOUNT)
    now = int(time.time())
    callout_user = KeyPair(_read_seed(directory / "identity-callout.creds"))
    replace_accounts(
        directory,
        operator,
        {
            keys.system_account: ("SYS", system_account(), system.public),
            keys.callout_account: ("AUTH", callout_account(callout_user.public), None),
            keys.platform_account: ("PLATFORM", platform_account(), platform.public),
        },
        now,
    )
    trust(directory, operator, reserve, now, keep_others=True)

    def write_credentials(name: str, service: str, claims: UserClaims, signer: KeyPair, account: str) -> None:
        path = directory / f"{name}.creds"
        pair = KeyPair(_read_seed(path)) if path.exists() else create_key_pair(KeyKind.USER)
        if signer.public != account:
            claims = msgspec.structs.replace(claims, issuer_account=account)
        jwt = encode(claims, issuer=signer, subject=pair.public, name=service, issued_at=now)
        write_private(path, Credentials(jwt=jwt, seed=pair.seed).render())

    write_credentials("identity-callout", "identity", callout_permissions(), callout, keys.callout_account)
    for service in SERVICES:
        write_credentials(service, service, service_permissions(service), platform, keys.platform_account)
    for service, claims in system_permissions().items():
        write_credentials(f"{service}-system", service, claims, system, keys.system_account)
    for name in SECRETS:
        if not (directory / name).exists():
            write_private(directory / name, secrets.token_hex(32))


def replace_accounts(
    directory: Path, operator: KeyPair, accounts: dict[str, tuple[str, AccountClaims, str | None]], now: int
) -> list[str]:
    """Sign accounts again, each with one more signing key, in the accounts' file and in the configurations.

    Revocations stay. Returns the new JWTs.
    """
    stored = _read_accounts(directory)
    for account, (name, claims, signing_key) in accounts.items():
        before = stored["preload"][account]
        # Earlier credentials are signed by these.
        signing_keys = [*signing_keys_of(before), *([signing_key] if signing_key else [])]
        stored["preload"][account] = encode(
            msgspec.structs.replace(
                claims,
                signing_keys=signing_keys,
                revocations={**claims_of(before).get("revocations", {}), **claims.revocations},
            ),
            issuer=operator,
            subject=account,
            name=name,
            issued_at=now,
        )
    _write_accounts(directory, stored)
    return [stored["preload"][account] for account in accounts]


def trust(directory: Path, operator: KeyPair, reserve: KeyPair, now: int, *, keep_others: bool) -> None:
    """Have nats-server trust these keys of the operator when it starts again; with `keep_others`, also earlier ones."""
    stored = _read_accounts(directory)
    before = trusted_keys(stored["operator"])
    keys = [operator.public, reserve.public]
    if keep_others:
        keys = list(dict.fromkeys([*keys, *before]))
    if before != keys:
        stored["operator"] = operator_jwt(operator, keys[1:], system_account=stored["system"], now=now)
    _write_accounts(directory, stored)


def read_trusted(directory: Path) -> list[str]:
    """The keys of the operator that nats-server trusts when it starts again, the current one first."""
    return trusted_keys(_read_accounts(directory)["operator"])


def _read_accounts(directory: Path) -> dict[str, Any]:
    accounts: dict[str, Any] = json.loads((directory / ACCOUNTS_FILE).read_text())
    return accounts


def _write_accounts(directory: Path, accounts: dict[str, Any]) -> None:
    """Write the accounts' file, and its JWTs into the configurations."""
    replace_private(directory / ACCOUNTS_FILE, json.dumps(accounts))
    for configuration in directory.glob(CONFIGURATION_FILES):
        text = configuration.read_text()
        for name, jwt in {"operator": accounts["operator"], **accounts["preload"]}.items():
            text = re.sub(rf"(?m)^(\s*{name}: ).*$", rf"\g<1>{jwt}", text)
        replace_private(configuration, text)


def _read_seed(path: Path) -> str:
    return Credentials.parse(read_key(path)).seed
