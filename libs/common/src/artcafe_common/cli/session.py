"""Who is signed in where: one file that is its owner's alone, or what a development stack wrote."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from artcafe_common.cli.exit_codes import ExitCode, Failure

ROOT = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An API with what is known of it; tokens are sent to this API and no other.

    `expires_at` in Unix seconds. `nats_url` and `websocket_url` are what the API last told of where
    clients connect.
    """

    api: str
    email: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_at: float = 0
    tenant_id: str = ""
    nats_url: str = ""
    websocket_url: str = ""
    client_id: str = ""
    seed: str = ""

    def __repr__(self) -> str:
        return f"Session({self.api})"


def known(api: str | None) -> Session | None:
    """What is known of `api`; without one, of the API signed in to, or of a development stack here."""
    wanted = normal(api) if api else None
    for each in (stored(), development()):
        if each is not None and wanted in (None, each.api):
            return each
    return Session(api=wanted) if wanted else None


def find(api: str | None) -> Session:
    """As `known`; Failure where no API is."""
    found = known(api)
    if found is None:
        raise Failure("which API? Give --api or ARTCAFE_API", ExitCode.USAGE)
    return found


def normal(api: str) -> str:
    """An API's address as it is kept: with its root, without a slash at the end."""
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise Failure("an API's address is http(s)://host[:port], without credentials", ExitCode.USAGE)
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith(ROOT) else path + ROOT}"


def is_private(api: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    parts = urlsplit(api)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


# -- the file --------------------------------------------------------------------------------------


def path() -> Path:
    """Where the session is kept."""
    chosen = os.environ.get("ARTCAFE_CONFIG")
    if chosen:
        return Path(chosen) / "session.json"
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "artcafe" / "session.json"


def stored() -> Session | None:
    """The session of the file, if there is one."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=Session)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"cannot read {path()}: {error}; `artcafe logout` removes it") from None


def keep(session: Session) -> None:
    """Write the session without a client's seed, whole or not at all, readable by its owner alone."""
    kept = msgspec.structs.replace(session, client_id="", seed="")
    try:
        write_private(path(), msgspec.json.encode(kept).decode())
    except OSError as error:
        raise Failure(f"cannot write {path()}: {error}") from None


def forget() -> bool:
    """Remove the file; False when there was none."""
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True


def write_private(target: Path, text: str) -> None:
    """Replace a file by one of mode 0600."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # 0600 from birth
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


# -- a development stack ---------------------------------------------------------------------------


class _DevClient(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    nkey_seed: str


class _Dev(msgspec.Struct, frozen=True, kw_only=True):
    api: str
    ws: str
    nats: str
    tenant_id: str
    user: str
    token: str
    client: _DevClient


def development() -> Session | None:
    """The development stack that runs in this directory; only one of this machine is believed."""
    file = Path(os.environ.get("ARTCAFE_DEV_DIR") or ".dev") / "endpoints.json"
    with suppress(OSError, msgspec.DecodeError):
        found = msgspec.json.decode(file.read_bytes(), type=_Dev)
        if urlsplit(found.api).hostname in LOOPBACK:
            return Session(
                api=normal(found.api),
                email=found.user,
                access_token=found.token,
                expires_at=float("1e11"),  # how long it is good for is not told; a refusal will say
                tenant_id=found.tenant_id,
                nats_url=found.nats,
                websocket_url=found.ws,
                client_id=found.client.client_id,
                seed=found.client.nkey_seed,
            )
    return None
