"""Manages the platform's JetStream streams of tenants, in the streams' accounts.

Each operation opens a short-lived connection into the account, whose user may manage only that stream.
Identity signs the user itself, so no other service needs permissions on JetStream.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.claims import NO_LIMIT
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.bus.stream_replicas import choose_replicas, replicas_metadata
from artcafe_common.contracts.identity.streams import EnsureStream, PurgeStream, StreamRefused, SubjectOverlap
from artcafe_identity.account_connections import close_quietly, connect_to_account
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.account_signing import SigningAccount
from artcafe_identity.own_streams_move import OwnStreamsMove
from artcafe_identity.stream_transfer import copy_stream
from artcafe_identity.tenant_claims import stream_user_claims

API_TIMEOUT_S = 2
DUPLICATE_WINDOW_S = 120
VERSION_METADATA_KEY = "artcafe_version"
# A stream that is being moved stores this subject, on which nobody publishes.
_MOVED_PREFIX = "_MOVED"
# JetStream API error codes: "subjects overlap with an existing stream"; and, caused by a concurrent
# change of the same stream, "stream not found" and "stream name already in use".
_OVERLAP = 10065
# "no suitable peers for placement", with the reasons: a node of the cluster is away, or has no room.
_NO_PEERS, _PEER_AWAY = 10005, "peer offline"
_NOT_FOUND = 404
_CONCURRENT_CHANGE = (10059, 10058)
log = structlog.get_logger()


class _StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    seq: int


class _ApiError(msgspec.Struct, frozen=True, kw_only=True):
    code: int


class _MessageReply(msgspec.Struct, frozen=True, kw_only=True):
    message: _StoredMessage | None = None
    error: _ApiError | None = None


class TenantStreamManager:
    """Creates, updates, deletes and purges one stream at a time. Every operation is idempotent."""

    def __init__(
        self, *, accounts: AccountRepository, nats_url: str, ca_file: Path | None = None, replicas: int = 1
    ) -> None:
        self._accounts = accounts
        self._replicas = replicas
        self._servers = nats_url.split(",")
        self._ca_file = ca_file
        self._own_streams = OwnStreamsMove(accounts=accounts, nats_url=nats_url, ca_file=ca_file)

    async def ensure(self, wanted: EnsureStream, *, believe_version: bool = True) -> None:
        """Create or update a stream. Raises SubjectOverlap or StreamRefused when the broker rejects it.

        With `believe_version`, a stream whose metadata has a higher version stays unchanged.
        """
        config = stream_config(wanted, self._replicas)
        signing = await self._accounts.get_signing_account(wanted.tenant_id)
        async with self._connect(signing, wanted.stream) as nc:
            js = nc.jetstream(timeout=API_TIMEOUT_S)
            if not signing.item.streams_moved:
                await self._move(signing, nc, config)
            try:
                current = (await js.stream_info(wanted.stream)).config
            except NotFoundError:
                await js.add_stream(config)
                return
            config.num_replicas = choose_replicas(current.num_replicas or 1, current.metadata, self._replicas)
            version = int((current.metadata or {}).get(VERSION_METADATA_KEY, "0"))
            # A new version alone causes no update: an account over its plan's limits may not update streams.
            if not believe_version or (version <= wanted.version and _differs(current, config)):
                await js.update_stream(config)

    async def delete(self, tenant_id: str, stream: str) -> None:
        """Delete a stream if it exists."""
        signing = await self._accounts.get_signing_account(tenant_id)
        for clients_account in _accounts_with_streams(signing):
            async with self._connect(signing, stream, clients_account=clients_account) as nc:
                with suppress(NotFoundError):
                    await nc.jetstream(timeout=API_TIMEOUT_S).delete_stream(stream)

    async def purge(self, wanted: PurgeStream) -> int:
        """Delete the messages of one subject if the stream exists; returns the sequence number of the last, or 0."""
        signing = await self._accounts.get_signing_account(wanted.tenant_id)
        last_seq = 0
        for clients_account in _accounts_with_streams(signing):
            async with self._connect(signing, wanted.stream, clients_account=clients_account) as nc:
                newest = await _read_last_seq(nc, wanted.stream, wanted.subject_filter)
                if newest:
                    js = nc.jetstream(timeout=API_TIMEOUT_S)
                    with suppress(NotFoundError):
                        # What is stored meanwhile stays.
                        await js.purge_stream(wanted.stream, subject=wanted.subject_filter, seq=newest + 1)
                last_seq = max(last_seq, newest)
        return last_seq

    async def finish_move(self, tenant_id: str) -> None:
        """Record that all streams of the tenant's records are in the streams' account, and move the others.

        Raises StreamRefused when the broker rejects one of the others, which are its clients' own.
        """
        await self._accounts.mark_streams_moved(tenant_id)
        await self._own_streams.run(tenant_id)

    async def resume_moves(self) -> None:
        """Continue moves that were interrupted."""
        await self._own_streams.resume()

    async def _move(self, signing: SigningAccount, target: Nats, config: StreamConfig) -> None:
        """Move a stream that an earlier release created in the clients' account. Idempotent.

        It stores nothing between its last message there and its first one here, so nothing is stored twice.
        """
        stream = config.name or ""
        async with self._connect(signing, stream, clients_account=True) as source:
            js = source.jetstream(timeout=API_TIMEOUT_S)
            try:
                old = await js.stream_info(stream)
            except NotFoundError:
                return
            unused_subject = f"{_MOVED_PREFIX}.{stream}"
            if old.config.subjects != [unused_subject]:
                old.config.subjects, old.config.republish = [unused_subject], None
                await js.update_stream(old.config)
                old = await js.stream_info(stream)
            try:
                moved = (await target.jetstream(timeout=API_TIMEOUT_S).stream_info(stream)).state
            except NotFoundError:
                await copy_stream(source, target, stream, config.as_dict())
            else:
                if moved.last_seq < old.state.last_seq:
                    raise StreamRefused("the stream exists in both accounts, with different messages")
            await js.delete_stream(stream)
            log.info("stream_moved", stream=stream, messages=old.state.messages)

    @asynccontextmanager
    async def _connect(
        self, signing: SigningAccount, stream: str, *, clients_account: bool = False
    ) -> AsyncIterator[Nats]:
        account, key = (
            (signing.item.account, signing.signing_key)
            if clients_account
            else (signing.streams_account, signing.streams_key)
        )
        nc = await connect_to_account(
            self._servers,
            claims=stream_user_claims(account=account, stream=stream),
            signing_key=key,
            ca_file=self._ca_file,
        )
        try:
            yield nc
        except APIError as error:
            raise _to_command_error(error) from error
        except (nats.errors.Error, msgspec.DecodeError, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker's streams are not available") from error
        finally:
            await close_quietly(nc)


async def _read_last_seq(nc: Nats, stream: str, subject: str) -> int:
    """The sequence number of the newest message of a subject; 0 without any. Its content is not looked at."""
    query = msgspec.json.encode({"last_by_subj": subject})
    reply = await nc.request(f"$JS.API.STREAM.MSG.GET.{stream}", query, timeout=API_TIMEOUT_S)
    found = msgspec.json.decode(reply.data, type=_MessageReply)
    if found.message is None and (found.error is None or found.error.code != _NOT_FOUND):
        raise ServiceUnavailable("the broker's streams are not available")
    return 0 if found.message is None else found.message.seq


def _accounts_with_streams(signing: SigningAccount) -> tuple[bool, ...]:
    """Where a stream may be: in the streams' account (False), and before it is moved, in the clients' (True)."""
    return (False,) if signing.item.streams_moved else (False, True)


def stream_config(wanted: EnsureStream, replicas: int) -> StreamConfig:
    """The broker's configuration of a stream."""
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
        num_replicas=replicas,
        metadata={VERSION_METADATA_KEY: str(wanted.version), **replicas_metadata(replicas)},
    )


def _differs(current: StreamConfig, wanted: StreamConfig) -> bool:
    fields = (
        "subjects",
        "max_age",
        "max_msgs",
        "max_msgs_per_subject",
        "max_bytes",
        "allow_direct",
        "republish",
        "num_replicas",
    )
    return any(getattr(current, name) != getattr(wanted, name) for name in fields)


def _to_command_error(error: APIError) -> SubjectOverlap | StreamRefused | ServiceUnavailable:
    if error.err_code == _OVERLAP:
        return SubjectOverlap("a stream of the organization already stores some of the same messages")
    unavailable = (error.code or 500) >= 500 and "resource" not in (error.description or "")  # noqa: PLR2004 - an HTTP status
    # Once the node is back, the broker accepts the stream.
    is_node_away = error.err_code == _NO_PEERS and _PEER_AWAY in (error.description or "")
    if unavailable or is_node_away or error.err_code in _CONCURRENT_CHANGE:
        return ServiceUnavailable("the broker's streams are not available")
    log.warning("stream_refused", code=error.err_code, reason=error.description)
    return StreamRefused(error.description or "")
