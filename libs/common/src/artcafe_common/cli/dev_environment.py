"""Lets operator commands find the development stack of this directory by themselves."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from artcafe_common.cli.output import print_notice
from artcafe_common.cli.session import LOOPBACK

# With one of these, the command is meant for the installation that they name.
_INSTALLATION = ("NATS_URL", "REDIS_URL", "ARTCAFE_KEYS_DIR", "AWS_ENDPOINT_URL")


def use_development_stack() -> None:
    """Without the settings of an installation, take those of the development stack that runs here, if one does."""
    if any(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in _INSTALLATION):
        return
    directory = Path(os.environ.get("ARTCAFE_DEV_DIR") or ".dev")
    try:
        settings = msgspec.json.decode((directory / "environment.json").read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return
    urls = (settings.get("NATS_URL", ""), settings.get("REDIS_URL", ""), settings.get("AWS_ENDPOINT_URL", ""))
    if any(urlsplit(url).hostname not in LOOPBACK for url in urls):
        return
    # Another account's credentials or region would not reach the emulator's tables.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    print_notice(f"using the development stack in {directory}")
