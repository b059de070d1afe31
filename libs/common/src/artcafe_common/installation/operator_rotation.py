"""Replaces the operator's key while nats-server runs (docs/operate/keys.md).

    begin: the reserve becomes the current key, and signs the platform's accounts; there is a new reserve
    finish: nats-server, once it is started again, trusts the old key no more

Between the two, identity signs the organizations' accounts again. The operator's JWT in `accounts.json` remembers which
old keys are still trusted, so that a rotation that was interrupted at any point is continued by the same steps.
"""

import time
from pathlib import Path

import msgspec

from artcafe_common.broker.claims import AccountClaims, Credentials
from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.installation.bootstrap import callout_account, platform_account, system_account
from artcafe_common.installation.operator_keys import (
    OPERATOR_FILE,
    RESERVE_FILE,
    ensure_reserve,
    read_operator,
)
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.installation.private_files import replace_private
from artcafe_common.installation.renewal import read_trusted, replace_accounts, trust
from artcafe_common.settings import read_key


class OperatorKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys: the current one, the reserve, and whether an old one is trusted still."""

    current: str
    reserve: str
    in_progress: bool


def read_keys(directory: Path) -> OperatorKeys:
    """The public keys of the operator. Raises SettingsError."""
    operator, reserve = read_operator(directory), ensure_reserve(directory)
    trusted = read_trusted(directory)
    in_progress = trusted[0] != operator.public or not {*trusted} <= {operator.public, reserve.public}
    return OperatorKeys(current=operator.public, reserve=reserve.public, in_progress=in_progress)


def begin(directory: Path) -> list[str]:
    """Make the reserve the current key, unless a rotation is in progress; the account JWTs that the broker must have."""
    operator, reserve = read_operator(directory), ensure_reserve(directory)
    if not read_keys(directory).in_progress:
        replace_private(directory / OPERATOR_FILE, reserve.seed)
        operator = reserve
    if operator.public == reserve.public:
        (directory / RESERVE_FILE).unlink()
        reserve = ensure_reserve(directory)
    now = int(time.time())
    trust(directory, operator, reserve, now, keep_others=True)
    keys = load_platform_keys(directory)
    callout_user = KeyPair(Credentials.parse(read_key(directory / "identity-callout.creds")).seed)
    accounts: dict[str, tuple[str, AccountClaims, str | None]] = {
        keys.system_account: ("SYS", system_account(), None),
        keys.callout_account: ("AUTH", callout_account(callout_user.public), None),
        keys.platform_account: ("PLATFORM", platform_account(), None),
    }
    return replace_accounts(directory, operator, accounts, now)


def finish(directory: Path) -> None:
    """Have nats-server trust only the current key and the reserve when it starts again. Idempotent."""
    trust(
        directory,
        read_operator(directory),
        ensure_reserve(directory),
        int(time.time()),
        keep_others=False,
    )
