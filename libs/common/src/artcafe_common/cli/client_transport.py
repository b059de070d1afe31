"""Chooses the client, its key and the server that `artcafe pub` and `artcafe sub` use."""

import os
from pathlib import Path

from artcafe_common.broker.nkeys import InvalidNKeyError, KeyPair
from artcafe_common.cli import session as sessions
from artcafe_common.cli.api import Api
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.session import Session
from artcafe_common.cli.transport import Transport

PAGE = 200


def create_transport(
    seed_file: Path | None,
    client_id: str,
    nats_url: str,
    ws: str,
    *,
    nats: bool,
    account: str,
    api: str | None,
) -> Transport:
    """The transport for the given options; values that are not given come from the session."""
    session = sessions.find_session(api) or Session(api="")
    dev = sessions.load_dev_session()
    if dev is None or dev.api != session.api:
        dev = None
    key, dev_client_id = _load_key(seed_file, dev)
    if nats:
        from artcafe_common.cli.nats_transport import NatsTransport

        url = nats_url or session.nats_url or (dev.nats_url if dev else "")
        tenant_id = account or (dev.tenant_id if dev and dev_client_id else session.tenant_id)
        if not url:
            raise Failure("the broker's URL is missing; set --nats-url or ARTCAFE_NATS_URL", ExitCode.USAGE)
        if not tenant_id:
            raise Failure("the organization is missing; set --account or ARTCAFE_TENANT", ExitCode.USAGE)
        ca_file = os.environ.get("ARTCAFE_CA_FILE")
        return NatsTransport(url, tenant_id, key, Path(ca_file) if ca_file else None)
    from artcafe_common.cli.websocket_transport import WebSocketTransport

    url = ws or session.websocket_url or (dev.websocket_url if dev else "")
    if not url:
        # The WebSocket routes are available below the API's URL, too.
        url = "ws" + sessions.require_session(api).api.removeprefix("http")
    client_id = client_id or dev_client_id or _find_client_id(key, session, account)
    return WebSocketTransport(url.rstrip("/"), client_id, key)


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
