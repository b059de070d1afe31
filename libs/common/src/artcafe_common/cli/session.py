"""The signed-in session: a private file, or the endpoints of a local development stack."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from artcafe_common.cli.exit_codes import ExitCode, Failure

API_ROOT = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An API and its tokens, which are sent to this API only; `expires_at` is in Unix seconds.

    `nats_url` and `websocket_url` come from the API's last response that contained a seed.
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


def find_session(api: str | None) -> Session | None:
    """The session for `api`; by default the stored session, or that of a local development stack."""
    url = normalize_api_url(api) if api else None
    for session in (load_session(), load_dev_session()):
        if session is not None and url in (None, session.api):
            return session
    return Session(api=url) if url else None


def require_session(api: str | None) -> Session:
    """Like `find_session`; raises Failure if no API is known."""
    session = find_session(api)
    if session is None:
        raise Failure("the API's URL is missing; set --api or ARTCAFE_API, or sign in", ExitCode.USAGE)
    return session


def normalize_api_url(api: str) -> str:
    """The URL of an API with its root path and without a trailing slash."""
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise Failure("the API's URL must be http(s)://host[:port], without credentials", ExitCode.USAGE)
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith(API_ROOT) else path + API_ROOT}"


def is_secure(api: str) -> bool:
    """Whether requests are encrypted or do not leave this machine."""
    parts = urlsplit(api)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


# -- the file --------------------------------------------------------------------------------------


def session_path() -> Path:
    """The path of the session file."""
    directory = os.environ.get("ARTCAFE_CONFIG")
    if directory:
        return Path(directory) / "session.json"
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "artcafe" / "session.json"


def load_session() -> Session | None:
    """The session in the file; None if there is no file."""
    try:
        return msgspec.json.decode(session_path().read_bytes(), type=Session)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"cannot read {session_path()}: {error}; `artcafe logout` deletes it") from None


def save_session(session: Session) -> None:
    """Write the session atomically to a file with mode 0600, without the client's seed."""
    without_seed = msgspec.structs.replace(session, client_id="", seed="")
    try:
        write_private(session_path(), msgspec.json.encode(without_seed).decode())
    except OSError as error:
        raise Failure(f"cannot write {session_path()}: {error}") from None


def delete_session() -> bool:
    """Delete the file; returns False if there was none."""
    try:
        session_path().unlink()
    except FileNotFoundError:
        return False
    return True


def write_private(target: Path, text: str) -> None:
    """Write a file atomically with mode 0600."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}."
    )  # created with 0600
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


class _DevEndpoints(msgspec.Struct, frozen=True, kw_only=True):
    api: str
    ws: str
    nats: str
    tenant_id: str
    user: str
    token: str
    client: _DevClient


def load_dev_session() -> Session | None:
    """The session of the development stack of this directory; ignored unless its API is on this machine."""
    file = Path(os.environ.get("ARTCAFE_DEV_DIR") or ".dev") / "endpoints.json"
    with suppress(OSError, msgspec.DecodeError):
        endpoints = msgspec.json.decode(file.read_bytes(), type=_DevEndpoints)
        if urlsplit(endpoints.api).hostname in LOOPBACK:
            return Session(
                api=normalize_api_url(endpoints.api),
                email=endpoints.user,
                access_token=endpoints.token,
                expires_at=float("1e11"),  # not in the file; an expired token is rejected with 401
                tenant_id=endpoints.tenant_id,
                nats_url=endpoints.nats,
                websocket_url=endpoints.ws,
                client_id=endpoints.client.client_id,
                seed=endpoints.client.nkey_seed,
            )
    return None
