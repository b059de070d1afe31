"""Reconciles JetStream streams with subject records and with the channels' history.

A record's change is stored together with its event (outbox), and the event is redelivered until it is
applied. Applying it brings the stream into the *current* state of the record and retries if the record
changed in between. So concurrent, repeated and reordered events all end in the same state.
"""

import asyncio

import structlog
from cachetools import TTLCache

from artcafe_common import clock
from artcafe_common.broker.subjects import HISTORY_STREAM, channel_subject
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.identity.streams import (
    EnsureStream,
    FinishStreamMove,
    PurgeStream,
    RemoveStream,
    StreamRefused,
    SubjectOverlap,
)
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import SubjectChanged
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.contracts.tenancy.history import MESSAGES_PER_CHANNEL
from artcafe_common.contracts.tenancy.subjects import Retention, SubjectStatus
from artcafe_common.plans import LIMITS
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_tenancy.outbox import build_entry
from artcafe_tenancy.store import Store
from artcafe_tenancy.subject_patterns import all_channels_subject, history_key, stream_name
from artcafe_tenancy.tables import SubjectItem, TenantItem
from artcafe_tenancy.write_conflicts import WriteConflict, repeat_on_conflict

HISTORY_RETENTION = Retention(max_age_s=7 * 24 * 3600, max_bytes=64 * 1024**2)
# After this time a caller gets the record while its stream is still pending.
RECONCILE_TIMEOUT_S = 1.5
ACTIVE_HISTORY_AGE_S = 600
POLL_INTERVAL_S = 0.03
MAX_POLL_INTERVAL_S = 0.3
PAGE_SIZE = 200
log = structlog.get_logger()


class StreamReconciler:
    """Applies SubjectChanged. Idempotent; events may be late or reordered."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        # By tenant: whether a history record exists (None: no storage left), and whether its stream does.
        self._history_records: Cache[str, str | None] = Cache(size=50_000, age_s=600)
        self._history_streams: Cache[str, bool] = Cache(size=50_000, age_s=600)
        self._active_histories: TTLCache[str, None] = TTLCache(50_000, ACTIVE_HISTORY_AGE_S)

    async def on_subject_changed(self, event: SubjectChanged) -> None:
        """Create, update or delete the stream of a subject to match its record."""

        async def change() -> None:
            item = await self._store.subjects.get_record(event.tenant_id, event.subject_id)
            if item is None or item.deleting:
                await self._delete_stream(event.tenant_id, stream_name(event.subject_id))
                if item is not None:
                    await self._store.subjects.remove(item)
            elif not await self._ensure_stream(item):
                raise WriteConflict

        await repeat_on_conflict(change)

    async def wait_until_reconciled(self, tenant_id: str, key: str) -> SubjectItem | None:
        """The record once its stream matches it, or after RECONCILE_TIMEOUT_S; None if it is removed."""
        loop = asyncio.get_running_loop()
        deadline, interval = loop.time() + RECONCILE_TIMEOUT_S, POLL_INTERVAL_S
        while True:
            item = await self._store.subjects.get_record(tenant_id, key)
            pending = item is not None and (item.deleting or item.status is SubjectStatus.PENDING)
            if not pending or loop.time() > deadline:
                return item
            await asyncio.sleep(interval)
            interval = min(interval * 1.5, MAX_POLL_INTERVAL_S)

    async def _ensure_stream(self, item: SubjectItem) -> bool:
        status, refusal = SubjectStatus.ACTIVE, None
        try:
            await self._bus.call(_ensure_command(item))
        except (SubjectOverlap, StreamRefused, AccountMissing) as error:
            status, refusal = SubjectStatus.REFUSED, error.code
            log.warning("subject_refused", subject_id=item.subject_id, reason=error.detail)
        return await self._store.subjects.set_status(item, status, refusal)

    async def sync(self, tenant_id: str) -> tuple[int, bool]:
        """Update all streams of a tenant to their records, and move those that are in the clients' account.

        Returns how many match now, and whether the broker rejected one; that one and its record's status stay as
        they are. A record that was refused is active when the broker accepts its stream now.
        """
        synced, rejected = 0, False
        for item in await self._records(tenant_id):
            try:
                await self._bus.call(_ensure_command(item))
                if item.status is SubjectStatus.REFUSED:
                    await self._store.subjects.set_status(item, SubjectStatus.ACTIVE, None)
                synced += 1
            except (SubjectOverlap, StreamRefused) as error:
                log.warning("stream_rejected", tenant_id=tenant_id, stream=item.stream, reason=error.detail)
                rejected = True
            except AccountMissing:
                return synced, True
        if not rejected:
            try:
                await self._bus.call(FinishStreamMove(tenant_id=tenant_id))
            except StreamRefused as error:
                log.warning("own_stream_rejected", tenant_id=tenant_id, reason=error.detail)
                rejected = True
            except AccountMissing:
                return synced, True
        return synced, rejected

    async def list_wanted(self, tenant_id: str) -> list[EnsureStream]:
        """What the streams of a tenant should be, without those that are being changed or were refused."""
        return [
            _ensure_command(item)
            for item in await self._records(tenant_id)
            if item.status is SubjectStatus.ACTIVE and not item.deleting
        ]

    async def _records(self, tenant_id: str) -> list[SubjectItem]:
        history = await self._store.subjects.get_record(tenant_id, history_key(tenant_id))
        records = [] if history is None else [history]
        position = None
        while True:
            page = await self._store.subjects.list(tenant_id, limit=PAGE_SIZE, position=position)
            records += page.items
            position = page.position
            if position is None:
                return records

    async def _delete_stream(self, tenant_id: str, stream: str) -> None:
        try:
            await self._bus.call(RemoveStream(tenant_id=tenant_id, stream=stream))
        except AccountMissing:
            return  # The account was deleted with its streams.

    # -- the history of channels -----------------------------------------------------------------

    async def ensure_history(self, tenant: TenantItem) -> bool:
        """Create the tenant's history record unless it exists; False if its plan has no storage left."""
        key = await self._history_records.get(tenant.id, lambda: self._ensure_history_record(tenant))
        return key is not None

    async def has_history(self, tenant_id: str) -> bool:
        """Whether the tenant's channel messages are stored, or will be once the broker is available."""
        if tenant_id in self._active_histories:
            return True
        item = await self._store.subjects.get_record(tenant_id, history_key(tenant_id))
        if item is None or item.deleting or item.status is SubjectStatus.REFUSED:
            return False
        if item.status is SubjectStatus.ACTIVE:
            self._active_histories[tenant_id] = None
        return True

    async def wait_for_history(self, tenant: TenantItem) -> None:
        """Ensure the history and wait, up to RECONCILE_TIMEOUT_S, until channel messages are stored."""
        if await self.ensure_history(tenant):
            await self._history_streams.get(tenant.id, lambda: self._wait_for_history_stream(tenant.id))

    async def _wait_for_history_stream(self, tenant_id: str) -> bool:
        return await self.wait_until_reconciled(tenant_id, history_key(tenant_id)) is not None

    async def _ensure_history_record(self, tenant: TenantItem) -> str | None:
        key = history_key(tenant.id)
        if await self._store.subjects.get_record(tenant.id, key) is not None:
            return key
        now = clock.now()
        item = SubjectItem(
            subject_id=key,
            tenant_id=tenant.id,
            name="",
            pattern="",
            raw=[all_channels_subject(tenant.id)],
            stream=HISTORY_STREAM,
            retention=HISTORY_RETENTION,
            max_messages_per_subject=MESSAGES_PER_CHANNEL,
            description="",
            metadata={},
            created_at=now,
            updated_at=now,
        )
        entry = build_entry(
            ActivityType.CHANNEL,
            "channels.history_begun",
            f"account:{tenant.id}",
            SubjectChanged(tenant_id=tenant.id, subject_id=key),
            tenant_id=tenant.id,
        )
        try:
            await self._store.subjects.create(item, LIMITS[tenant.plan].storage_bytes, entry)
        except (PlanLimitReached, SubjectOverlap) as error:
            log.info("channel_history_skipped", tenant_id=tenant.id, reason=error.detail)
            return None
        except ConditionFailed:
            return key  # Another instance created it.
        return key

    async def purge_channel(self, tenant_id: str, channel_id: str) -> int:
        """Delete the history of a channel; returns the sequence number of its last message, or 0. Idempotent."""
        try:
            purged = await self._bus.call(
                PurgeStream(
                    tenant_id=tenant_id,
                    stream=HISTORY_STREAM,
                    subject_filter=channel_subject(tenant_id, channel_id),
                )
            )
        except AccountMissing:
            return 0  # The account was deleted with its streams.
        return purged.last_seq


def _ensure_command(item: SubjectItem) -> EnsureStream:
    return EnsureStream(
        tenant_id=item.tenant_id,
        stream=item.stream,
        version=item.version,
        subjects=item.raw,
        max_bytes=item.retention.max_bytes,
        max_age_s=item.retention.max_age_s,
        max_messages=item.retention.max_messages,
        max_messages_per_subject=item.max_messages_per_subject,
    )
