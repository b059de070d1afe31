"""Manages JetStream streams in tenants' accounts.

Each operation opens a short-lived connection into the account, whose user may manage only that stream.
Identity signs the user itself, so no other service needs permissions on JetStream.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats
import nats.errors
import structlog
from nats.aio.client import RawCredentials
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RePublish, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.claims import NO_LIMIT, Credentials, encode
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.streams import EnsureStream, PurgeStream, StreamRefused, SubjectOverlap
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.tenant_claims import stream_user_claims

CONNECT_TIMEOUT_S = 2
API_TIMEOUT_S = 2
DUPLICATE_WINDOW_S = 120
VERSION_METADATA_KEY = "artcafe_version"
# JetStream API error codes: "subjects overlap with an existing stream"; and, caused by a concurrent
# change of the same stream, "stream not found" and "stream name already in use".
_OVERLAP = 10065
_CONCURRENT_CHANGE = (10059, 10058)
log = structlog.get_logger()


class TenantStreamManager:
    """Creates, updates, deletes and purges one stream at a time. Every operation is idempotent."""

    def __init__(self, *, accounts: AccountRepository, nats_url: str) -> None:
        self._accounts = accounts
        self._servers = nats_url.split(",")

    async def ensure(self, wanted: EnsureStream) -> None:
        """Create or update a stream. Raises SubjectOverlap or StreamRefused when the broker rejects it."""
        config = _stream_config(wanted)
        async with self._connect(wanted.tenant_id, wanted.stream) as js:
            try:
                current = (await js.stream_info(wanted.stream)).config
            except NotFoundError:
                await js.add_stream(config)
                return
            version = int((current.metadata or {}).get(VERSION_METADATA_KEY, "0"))
            # A new version alone causes no update: an account over its plan's limits may not update streams.
            if version <= wanted.version and _differs(current, config):
                await js.update_stream(config)

    async def delete(self, tenant_id: str, stream: str) -> None:
        """Delete a stream if it exists."""
        async with self._connect(tenant_id, stream) as js:
            with suppress(NotFoundError):
                await js.delete_stream(stream)

    async def purge(self, wanted: PurgeStream) -> None:
        """Delete the messages of one subject if the stream exists."""
        async with self._connect(wanted.tenant_id, wanted.stream) as js:
            with suppress(NotFoundError):
                await js.purge_stream(wanted.stream, subject=wanted.subject_filter)

    @asynccontextmanager
    async def _connect(self, tenant_id: str, stream: str) -> AsyncIterator[JetStreamContext]:
        account = await self._accounts.get_signing_account(tenant_id)
        pair = create_key_pair(KeyKind.USER)
        jwt = encode(
            stream_user_claims(account=account.item.account, stream=stream),
            issuer=account.signing_key,
            subject=pair.public,
            name=PLATFORM_CONNECTION_NAME,
            issued_at=int(time.time()),
        )
        try:
            nc = await nats.connect(
                servers=self._servers,
                user_credentials=RawCredentials(Credentials(jwt=jwt, seed=pair.seed).render()),
                name=PLATFORM_CONNECTION_NAME,
                allow_reconnect=False,
                connect_timeout=CONNECT_TIMEOUT_S,
                error_cb=_log_error,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("cannot connect to the organization's account now") from error
        try:
            yield nc.jetstream(timeout=API_TIMEOUT_S)
        except APIError as error:
            raise _to_command_error(error) from error
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker's streams are not available") from error
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await nc.close()


def _stream_config(wanted: EnsureStream) -> StreamConfig:
    age = wanted.max_age_s or 0
    return StreamConfig(
        name=wanted.stream,
        subjects=wanted.subjects,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=age,
        max_msgs=NO_LIMIT if wanted.max_messages is None else wanted.max_messages,
        max_msgs_per_subject=(
            NO_LIMIT if wanted.max_messages_per_subject is None else wanted.max_messages_per_subject
        ),
        max_bytes=wanted.max_bytes,
        # The broker rejects a duplicate window longer than max_age.
        duplicate_window=min(age, DUPLICATE_WINDOW_S) if age else DUPLICATE_WINDOW_S,
        allow_direct=True,
        republish=None
        if wanted.republish_prefix is None
        else _republish_config(wanted.subjects, wanted.republish_prefix),
        metadata={VERSION_METADATA_KEY: str(wanted.version)},
    )


def _republish_config(subjects: list[str], root: str) -> RePublish:
    (subject,) = subjects
    return RePublish(src=subject, dest=f"{root}.{subject}")


def _differs(current: StreamConfig, wanted: StreamConfig) -> bool:
    fields = (
        "subjects",
        "max_age",
        "max_msgs",
        "max_msgs_per_subject",
        "max_bytes",
        "allow_direct",
        "republish",
    )
    return any(getattr(current, name) != getattr(wanted, name) for name in fields)


def _to_command_error(error: APIError) -> SubjectOverlap | StreamRefused | ServiceUnavailable:
    if error.err_code == _OVERLAP:
        return SubjectOverlap("a stream of the organization already stores some of the same messages")
    unavailable = (error.code or 500) >= 500 and "resource" not in (error.description or "")  # noqa: PLR2004 - an HTTP status
    if unavailable or error.err_code in _CONCURRENT_CHANGE:
        return ServiceUnavailable("the broker's streams are not available")
    log.warning("stream_refused", code=error.err_code, reason=error.description)
    return StreamRefused(error.description or "")


async def _log_error(error: Exception) -> None:
    log.warning("stream_connection_failed", reason=repr(error))
