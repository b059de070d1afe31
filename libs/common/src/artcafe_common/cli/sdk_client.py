"""The SDK's client that `artcafe pub` and `artcafe sub` use: its key, its server, and its errors."""

import logging
import os
from pathlib import Path

import artcafe_client
from artcafe_client import Client
from artcafe_client.errors import ArtcafeError
from artcafe_common.broker.nkeys import InvalidNKeyError, KeyPair
from artcafe_common.cli import output
from artcafe_common.cli import session as sessions
from artcafe_common.cli.api import Api
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.cli.session import Session
from artcafe_common.tls import create_tls

PAGE = 200
# The first connection is tried once, and again if the server names a delay.
ONE_ATTEMPT = 0.0


def create_client(
    seed_file: Path | None,
    client_id: str,
    nats_url: str,
    ws: str,
    *,
    nats: bool,
    account: str,
    api: str | None,
) -> Client:
    """The client for the given options; values that are not given come from the session."""
    session = sessions.find_session(api) or Session(api="")
    dev = sessions.load_dev_session()
    if dev is None or dev.api != session.api:
        dev = None
    key, dev_client_id = _load_key(seed_file, dev)
    ca_file = os.environ.get("ARTCAFE_CA_FILE")
    tls = create_tls(Path(ca_file) if ca_file else None)
    _print_warnings()
    if nats:
        url = nats_url or session.nats_url or (dev.nats_url if dev else "")
        tenant_id = account or (dev.tenant_id if dev and dev_client_id else session.tenant_id)
        if not url:
            raise Failure("the broker's URL is missing; set --nats-url or ARTCAFE_NATS_URL", ExitCode.USAGE)
        if not tenant_id:
            raise Failure("the organization is missing; set --account or ARTCAFE_TENANT", ExitCode.USAGE)
        return artcafe_client.connect(
            url,
            seed=key.seed,
            client_id=client_id or dev_client_id,
            tenant_id=tenant_id,
            transport="nats",
            connect_timeout=ONE_ATTEMPT,
            tls=tls,
        )
    url = ws or session.websocket_url or (dev.websocket_url if dev else "")
    if not url:
        # The WebSocket routes are available below the API's URL, too.
        url = sessions.require_session(api).api
    return artcafe_client.connect(
        url,
        seed=key.seed,
        client_id=client_id or dev_client_id or _find_client_id(key, session, account),
        transport="websocket",
        connect_timeout=ONE_ATTEMPT,
        tls=tls,
    )


def to_failure(error: ArtcafeError) -> Failure:
    """The failure of a command, for an error of the SDK."""
    if isinstance(error, artcafe_client.AccessRevoked):
        reason = str(error)
        return Failure(f"the server closed the connection: {reason}", ExitCode.DENIED, code=reason)
    if isinstance(error, artcafe_client.ServerError):
        return Failure(str(error), exit_code_for_status(error.status), code=error.code)
    if isinstance(error, artcafe_client.ConfigurationError):
        return Failure(str(error), ExitCode.USAGE)
    return Failure(str(error), ExitCode.UNAVAILABLE)


class _NoticeHandler(logging.Handler):
    """Prints what the SDK warns of, such as a lost connection."""

    def emit(self, record: logging.LogRecord) -> None:
        output.print_notice(record.getMessage())


def _print_warnings() -> None:
    log = logging.getLogger("artcafe_client")
    if not log.handlers:
        log.addHandler(_NoticeHandler(logging.WARNING))
        log.propagate = False


def _load_key(seed_file: Path | None, dev: Session | None) -> tuple[KeyPair, str]:
    """The client's key, and its id if it is the development stack's client."""
    from_environment = os.environ.get("ARTCAFE_SEED", "")
    client_id = ""
    try:
        if seed_file is not None:
            seed = seed_file.read_text().strip()
        elif from_environment:
            seed = from_environment.strip()
        elif dev is not None:
            seed, client_id = dev.seed, dev.client_id
        else:
            raise Failure("the client's seed is missing; set --seed-file or ARTCAFE_SEED", ExitCode.USAGE)
        return KeyPair(seed), client_id
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "it is not a text file")
        raise Failure(f"cannot read {seed_file}: {reason}", ExitCode.USAGE) from None
    except InvalidNKeyError:
        raise Failure(
            "the seed is not valid; it must be one line that starts with SU", ExitCode.USAGE
        ) from None


def _find_client_id(key: KeyPair, session: Session, account: str) -> str:
    """Look up the client that has this key."""
    if not session.access_token:
        raise Failure("the client is missing; set --client or ARTCAFE_CLIENT, or sign in", ExitCode.USAGE)
    with Api(session, tenant_id=account) as api:
        cursor = None
        while True:
            page = api.request("GET", "/clients", params={"limit": PAGE, "cursor": cursor})
            for client in page["clients"]:
                if client["nkey_public"] == key.public:
                    return str(client["client_id"])
            cursor = page["next_cursor"]
            if cursor is None:
                raise Failure("no client of the organization has this key", ExitCode.NOT_FOUND)
