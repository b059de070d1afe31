"""The operator's keys: the current one, which signs every account, and a reserve that takes its place.

nats-server reads whom it trusts only when it starts, and refuses a reload with another operator. So it trusts the
reserve from the start, and a rotation needs no restart: the reserve becomes the current key (`operator_rotation`).
"""

from pathlib import Path

from artcafe_common.broker.claims import OperatorClaims, encode, issuer_of, signing_keys_of
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.installation.private_files import replace_private
from artcafe_common.settings import read_key

OPERATOR_FILE = "operator.nk"
# No service needs it.
RESERVE_FILE = "operator-reserve.nk"
NAME = "ArtCafe"


def operator_jwt(operator: KeyPair, others: list[str], *, system_account: str, now: int) -> str:
    """The operator's JWT: nats-server trusts the key that signs it, and the others in it."""
    claims = OperatorClaims(system_account=system_account, signing_keys=others)
    return encode(claims, issuer=operator, subject=operator.public, name=NAME, issued_at=now)


def trusted_keys(jwt: str) -> list[str]:
    """The keys whose accounts a nats-server with this operator JWT accepts."""
    return [issuer_of(jwt), *signing_keys_of(jwt)]


def read_operator(directory: Path) -> KeyPair:
    """The current key. Raises SettingsError."""
    return KeyPair(read_key(directory / OPERATOR_FILE))


def ensure_reserve(directory: Path) -> KeyPair:
    """The reserve, which is created if there is none. Raises SettingsError."""
    path = directory / RESERVE_FILE
    if not path.exists():
        replace_private(path, create_key_pair(KeyKind.OPERATOR).seed)
    return KeyPair(read_key(path))
