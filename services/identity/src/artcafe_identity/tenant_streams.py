"""Streams in tenants' accounts: made, changed and deleted over a connection for that one stream.

Identity holds each account's signing key, so that nobody is given a right for it that they did not
have. The connection lives as long as the work takes.
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
from artcafe_common.broker.nkeys import KeyKind, create
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.streams import EnsureStream, PurgeStream, StreamRefused, SubjectOverlap
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.tenant_claims import stream_user

CONNECT_TIMEOUT_S = 2
API_TIMEOUT_S = 2
CLOSE_TIMEOUT_S = 1
DUPLICATES_S = 120
VERSION = "artcafe_version"
# nats-server's own codes: "subjects overlap with an existing stream", and what another instance
# that does the same at the same moment leads to: not found, "name already in use".
_OVERLAP = 10065
_MET = (10059, 10058)
log = structlog.get_logger()


class TenantStreams:
    """Does to one stream what is asked; all of it can be asked twice."""

    def __init__(self, *, registry: AccountRepository, nats_url: str) -> None:
        self._registry = registry
        self._servers = nats_url.split(",")

    async def ensure(self, wanted: EnsureStream) -> None:
        """Make or change a stream; SubjectOverlap or StreamRefused when the broker does not take it."""
        config = _config(wanted)
        async with self._account(wanted.tenant_id, wanted.stream) as js:
            try:
                held = (await js.stream_info(wanted.stream)).config
            except NotFoundError:
                await js.add_stream(config)
                return
            version = int((held.metadata or {}).get(VERSION, "0"))
            # Not for the version alone: over its plan, an account may change nothing.
            if version <= wanted.version and _differs(held, config):
                await js.update_stream(config)

    async def remove(self, tenant_id: str, stream: str) -> None:
        """Delete a stream, if it is there."""
        async with self._account(tenant_id, stream) as js:
            with suppress(NotFoundError):
                await js.delete_stream(stream)

    async def purge(self, wanted: PurgeStream) -> None:
        """Delete a subject's messages, if the stream is there."""
        async with self._account(wanted.tenant_id, wanted.stream) as js:
            with suppress(NotFoundError):
                await js.purge_stream(wanted.stream, subject=wanted.subject_filter)

    @asynccontextmanager
    async def _account(self, tenant_id: str, stream: str) -> AsyncIterator[JetStreamContext]:
        account = await self._registry.open(tenant_id)
        pair = create(KeyKind.USER)
        jwt = encode(
            stream_user(account=account.item.account, stream=stream),
            issuer=account.signing,
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
                error_cb=_noted,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the organization's account cannot be entered now") from error
        try:
            yield nc.jetstream(timeout=API_TIMEOUT_S)
        except APIError as error:
            raise _refusal(error) from error
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker's streams are not available") from error
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await nc.close()


def _config(wanted: EnsureStream) -> StreamConfig:
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
        # May not be longer than messages are kept.
        duplicate_window=min(age, DUPLICATES_S) if age else DUPLICATES_S,
        allow_direct=True,
        republish=None
        if wanted.republish_prefix is None
        else _again(wanted.subjects, wanted.republish_prefix),
        metadata={VERSION: str(wanted.version)},
    )


def _again(subjects: list[str], root: str) -> RePublish:
    (subject,) = subjects
    return RePublish(src=subject, dest=f"{root}.{subject}")


def _differs(held: StreamConfig, wanted: StreamConfig) -> bool:
    fields = (
        "subjects",
        "max_age",
        "max_msgs",
        "max_msgs_per_subject",
        "max_bytes",
        "allow_direct",
        "republish",
    )
    return any(getattr(held, name) != getattr(wanted, name) for name in fields)


def _refusal(error: APIError) -> SubjectOverlap | StreamRefused | ServiceUnavailable:
    if error.err_code == _OVERLAP:
        return SubjectOverlap("a stream of the organization keeps some of the same messages")
    broken = (error.code or 500) >= 500 and "resource" not in (error.description or "")  # noqa: PLR2004 - HTTP's
    if broken or error.err_code in _MET:
        return ServiceUnavailable("the broker's streams are not available")
    log.warning("stream_refused", code=error.err_code, reason=error.description)
    return StreamRefused(error.description or "")


async def _noted(error: Exception) -> None:
    log.warning("stream_connection_problem", reason=repr(error))
