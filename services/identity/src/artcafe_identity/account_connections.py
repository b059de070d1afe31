"""Identity's own connections into the accounts of tenants."""

import time
from contextlib import suppress
from pathlib import Path

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import Credentials, UserClaims, encode
from artcafe_common.broker.connect import connect_once
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.broker.subjects import PRIVATE_INBOX_PREFIX
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id

CONNECT_TIMEOUT_S = 2
log = structlog.get_logger()


async def connect_to_account(
    servers: list[str], *, claims: UserClaims, signing_key: KeyPair, ca_file: Path | None
) -> Nats:
    """Connect as a new user of an account, which `signing_key` signs. Raises ServiceUnavailable."""
    pair = create_key_pair(KeyKind.USER)
    jwt = encode(
        claims,
        issuer=signing_key,
        subject=pair.public,
        name=PLATFORM_CONNECTION_NAME,
        issued_at=int(time.time()),
    )
    try:
        return await connect_once(
            servers,
            ca_file=ca_file,
            user_credentials=RawCredentials(Credentials(jwt=jwt, seed=pair.seed).render()),
            name=PLATFORM_CONNECTION_NAME,
            inbox_prefix=f"{PRIVATE_INBOX_PREFIX}.{new_id()}",
            connect_timeout=CONNECT_TIMEOUT_S,
            error_cb=_log_error,
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ServiceUnavailable("cannot connect to the organization's account now") from error


async def close_quietly(nc: Nats) -> None:
    """Close a connection, whatever its state."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        await nc.close()


async def _log_error(error: Exception) -> None:
    log.warning("account_connection_failed", reason=repr(error))
