"""What connections to NATS and Redis trust."""

import ssl
from functools import lru_cache
from pathlib import Path

from artcafe_common.settings import SettingsError

# A process has one file; it is read again when it has changed.
_MAX_CONTEXTS = 4


def create_tls(ca_file: Path | None) -> ssl.SSLContext | None:
    """A context that trusts the authorities of a PEM file besides the system's; None for the system's alone.

    Raises SettingsError.
    """
    if ca_file is None:
        return None
    try:
        return _load(ca_file, ca_file.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ARTCAFE_CA_FILE: cannot read certificates from {ca_file}: {error}") from None


@lru_cache(maxsize=_MAX_CONTEXTS)
def _load(path: Path, _modified_ns: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=path)
    return context
