"""The public keys of an installation, which its services share."""

from pathlib import Path

import msgspec

from artcafe_common.settings import read_key

FILE_NAME = "platform.json"


class PlatformKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys of the operator and of the accounts that belong to the platform."""

    operator: str
    system_account: str
    callout_account: str
    platform_account: str


def load_platform_keys(directory: Path) -> PlatformKeys:
    """Reads `platform.json`; SettingsError when the file cannot be read."""
    return msgspec.json.decode(read_key(directory / FILE_NAME), type=PlatformKeys)
