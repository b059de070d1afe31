"""Which release's permissions and accounts an installation has: a file in its keys directory."""

import hashlib
from pathlib import Path

import msgspec

from artcafe_common.installation.bootstrap import callout_account, platform_account, system_account
from artcafe_common.installation.operator_keys import RESERVE_FILE
from artcafe_common.installation.permissions import (
    SERVICES,
    callout_permissions,
    service_permissions,
    system_permissions,
)
from artcafe_common.installation.private_files import write_private
from artcafe_common.installation.renewal import renew

MARKER_FILE = "renewed-for"


def permissions_fingerprint() -> str:
    """Differs between releases whose services have different permissions, or whose accounts differ."""
    claims = [
        *(service_permissions(service) for service in SERVICES),
        *system_permissions().values(),
        callout_permissions(),
        *(system_account(), callout_account(), platform_account()),
    ]
    return hashlib.sha256(msgspec.json.encode(claims)).hexdigest()


def mark_release(directory: Path) -> None:
    """Record that an installation has what this release signs."""
    write_private(directory / MARKER_FILE, permissions_fingerprint())


def renew_if_outdated(directory: Path) -> bool:
    """Renew an installation that another release signed; whether that was so."""
    marker = directory / MARKER_FILE
    if (
        marker.exists()
        and marker.read_text() == permissions_fingerprint()
        and (directory / RESERVE_FILE).exists()
    ):
        return False
    renew(directory)
    mark_release(directory)
    return True
