"""Moves the streams that clients keep from the clients' account, where earlier releases had them, to one without clients.

What it moves has the same restrictions as what clients create now: settings and consumers that are no longer accepted
are left behind, and logged.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_common.contracts.identity.streams import StreamRefused
from artcafe_identity.account_connections import close_quietly, connect_to_account
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.account_signing import SigningAccount
from artcafe_identity.stream_api_checks import CallRefused, check_consumer, check_stream, subject_root
from artcafe_identity.stream_transfer import copy_stream
from artcafe_identity.tables import OwnStreams
from artcafe_identity.tenant_claims import own_streams_move_user_claims

TIMEOUT_S = 5
# A move is continued by another instance after this time, which is longer than one stream takes.
LEASE_S = 120
# A stream that is being moved stores this subject, on which nobody publishes.
_MOVED_PREFIX = "_MOVED"
_NOT_FOUND = 404
# Reported by the broker, but not part of a configuration.
_REPORTED_METADATA = "_nats."
_ORIGINAL_METADATA = "artcafe_moved"
_Json = dict[str, Any]
log = structlog.get_logger()


class OwnStreamsMove:
    """Moves all own streams of one tenant at a time. Idempotent: what was interrupted is continued."""

    def __init__(self, *, accounts: AccountRepository, nats_url: str, ca_file: Path | None = None) -> None:
        self._accounts = accounts
        self._servers = nats_url.split(",")
        self._ca_file = ca_file
        self._running: set[str] = set()

    async def resume(self) -> None:
        """Continue the moves that were interrupted."""
        for tenant_id in tuple(self._accounts.index.moving):
            try:
                await self.run(tenant_id)
            except CommandError as error:
                log.warning("own_streams_not_moved", tenant_id=tenant_id, reason=error.detail)

    async def run(self, tenant_id: str) -> None:
        """Move the tenant's own streams, and turn JetStream off in the clients' account.

        Raises StreamRefused when the broker rejects one; the streams that were not moved then stay where they are.
        """
        signing = await self._accounts.get_signing_account(tenant_id)
        if signing.item.own_streams is OwnStreams.MOVED:
            return
        is_moving = signing.item.own_streams is OwnStreams.MOVING
        if tenant_id in self._running or (is_moving and signing.item.own_move_until > time.time()):
            raise ServiceUnavailable("the organization's streams are being moved")
        self._running.add(tenant_id)
        try:
            await self._extend(tenant_id)
            await self._move_all(tenant_id)
        except (APIError, StreamRefused) as error:
            await self._accounts.set_own_streams(tenant_id, OwnStreams.IN_CLIENTS_ACCOUNT)
            reason = error.detail if isinstance(error, StreamRefused) else error.description
            raise StreamRefused(reason or "") from error
        except (nats.errors.Error, msgspec.DecodeError, JetStreamError, OSError, TimeoutError) as error:
            await self._accounts.set_own_streams(tenant_id, OwnStreams.MOVING)
            raise ServiceUnavailable("the broker's streams are not available") from error
        else:
            await self._accounts.set_own_streams(tenant_id, OwnStreams.MOVED)
        finally:
            self._running.discard(tenant_id)

    async def _extend(self, tenant_id: str) -> None:
        """Keep other instances from moving the same streams."""
        until = int(time.time()) + LEASE_S
        await self._accounts.set_own_streams(tenant_id, OwnStreams.MOVING, until=until)

    async def _move_all(self, tenant_id: str) -> None:
        signing = await self._accounts.get_signing_account(tenant_id)
        async with AsyncExitStack() as stack:
            source = await self._connect(stack, signing.item.account, signing.signing_key)
            target: Nats | None = None
            # Clients may create streams until none is left.
            while configs := [each async for each in _list(source, "STREAM.LIST", "streams")]:
                if target is None:
                    signing = await self._prepare_target(tenant_id, configs)
                    if signing.own_account is None or signing.own_key is None:
                        raise ServiceUnavailable("the account is being changed")
                    target = await self._connect(stack, signing.own_account, signing.own_key)
                for each in configs:
                    await self._extend(tenant_id)
                    await _move(tenant_id, source, target, each["config"])

    async def _prepare_target(self, tenant_id: str, configs: list[_Json]) -> SigningAccount:
        roots: set[str] = set()
        for each in configs:
            roots |= _checked(tenant_id, _original(each["config"]))[1]

        async def none_used() -> set[str]:
            return set()

        if not await self._accounts.add_own_roots(tenant_id, roots, none_used):
            raise StreamRefused(
                "the subjects of the organization's streams begin with too many different tokens"
            )
        return await self._accounts.get_signing_account(tenant_id)

    async def _connect(self, stack: AsyncExitStack, account: str, key: KeyPair) -> Nats:
        claims = own_streams_move_user_claims(account=account)
        nc = await connect_to_account(self._servers, claims=claims, signing_key=key, ca_file=self._ca_file)
        stack.push_async_callback(close_quietly, nc)
        return nc


def _checked(tenant_id: str, config: _Json) -> tuple[_Json, frozenset[str]]:
    """The configuration without what is no longer accepted, and the first tokens of the subjects that it stores."""
    config = {name: value for name, value in config.items() if name not in ("republish", "subject_transform")}
    config["metadata"] = _without_reported(config)
    subjects = [subject for subject in config.get("subjects") or () if _is_allowed(tenant_id, subject)]
    if config.get("subjects"):
        config["subjects"] = subjects or [f"{_MOVED_PREFIX}.{config['name']}"]
    try:
        roots = check_stream({**config, "subjects": subjects}, tenant_id=tenant_id)
    except CallRefused:
        # Sources of other accounts, or a setting that no release accepted from clients.
        for name in ("sources", "mirror"):
            config.pop(name, None)
        config.setdefault("subjects", [f"{_MOVED_PREFIX}.{config['name']}"])
        roots = frozenset(root for root in (subject_root(tenant_id, each) for each in subjects) if root)
    return config, roots


def _original(config: _Json) -> _Json:
    """The configuration that a stream had before it was being moved."""
    original = (config.get("metadata") or {}).get(_ORIGINAL_METADATA)
    return config if original is None else msgspec.json.decode(original, type=_Json)


def _is_allowed(tenant_id: str, subject: str) -> bool:
    try:
        subject_root(tenant_id, subject)
    except CallRefused:
        return False
    return True


async def _move(tenant_id: str, source: Nats, target: Nats, found: _Json) -> None:
    """Move a stream with its consumers. Idempotent.

    It stores nothing between its last message in one account and its first one in the other, so nothing is stored
    twice. Until it is moved, its metadata keep the configuration that it had.
    """
    name = found["name"]
    is_stopped = _ORIGINAL_METADATA in (found.get("metadata") or {})
    if found.get("subjects") and not found.get("sealed") and not is_stopped:
        stopped = {field: value for field, value in found.items() if field != "republish"}
        stopped["subjects"] = [f"{_MOVED_PREFIX}.{name}"]
        stopped["metadata"] = {
            **(found.get("metadata") or {}),
            _ORIGINAL_METADATA: msgspec.json.encode(found).decode(),
        }
        await _call(source, f"STREAM.UPDATE.{name}", stopped)
    found = _original(found)
    config, _ = _checked(tenant_id, found)
    left_behind = sorted(field for field in found if found[field] and found[field] != config.get(field))
    state = (await _call(source, f"STREAM.INFO.{name}"))["state"]
    if await _exists(target, name, state["last_seq"]):
        log.info("own_stream_move_resumed", stream=name)
    else:
        await copy_stream(source, target, name, config)
    async for consumer in _list(source, f"CONSUMER.LIST.{name}", "consumers"):
        await _create_consumer(target, name, config, consumer)
    await _call(source, f"STREAM.DELETE.{name}")
    log.info("own_stream_moved", stream=name, messages=state["messages"], left_behind=left_behind)


async def _exists(target: Nats, stream: str, last_seq: int) -> bool:
    try:
        moved = await _call(target, f"STREAM.INFO.{stream}")
    except APIError as error:
        if error.code == _NOT_FOUND:
            return False
        raise
    if moved["state"]["last_seq"] < last_seq:
        raise APIError(code=409, description="the stream exists in both accounts, with different messages")
    return True


async def _create_consumer(target: Nats, stream: str, config: _Json, found: _Json) -> None:
    """Create a consumer that continues after what was acknowledged to the one that was found."""
    consumer = dict(found["config"])
    name = consumer.get("durable_name") or found["name"]
    consumer["metadata"] = _without_reported(consumer)
    try:
        check_consumer(consumer, replace_headers_only=True)
    except CallRefused as error:
        log.warning("consumer_not_moved", stream=stream, consumer=name, reason=str(error))
        return
    position = found["ack_floor" if consumer.get("ack_policy") != "none" else "delivered"]["stream_seq"]
    # A work queue has no message that was acknowledged, and allows no other policy.
    if position and config.get("retention") != "workqueue":
        consumer |= {"deliver_policy": "by_start_sequence", "opt_start_seq": position + 1}
        consumer.pop("opt_start_time", None)
    consumer.setdefault("name", name)
    await _call(target, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": consumer})


def _without_reported(config: _Json) -> dict[str, str]:
    metadata = config.get("metadata") or {}
    return {key: value for key, value in metadata.items() if not key.startswith(_REPORTED_METADATA)}


async def _call(nc: Nats, call: str, request: _Json | None = None) -> Any:
    """The answer of the JetStream API. Raises APIError."""
    body = b"" if request is None else msgspec.json.encode(request)
    reply = await nc.request(f"$JS.API.{call}", body, timeout=TIMEOUT_S)
    answer = msgspec.json.decode(reply.data, type=_Json)
    if answer.get("error"):
        raise APIError(**answer["error"])
    return answer


async def _list(nc: Nats, call: str, field: str) -> AsyncIterator[_Json]:
    offset = 0
    while True:
        page = await _call(nc, call, {"offset": offset})
        entries = page.get(field) or []
        for entry in entries:
            yield entry
        offset += len(entries)
        if not entries or offset >= page.get("total", 0):
            return
