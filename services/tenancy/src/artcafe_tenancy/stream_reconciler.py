"""The streams of subjects and of the channels' history, kept in step with their records.

A record is stored together with the news of its change (journal), and the news is heard until it
was applied. Applying it brings the stream to what the record says *now* and then looks whether
that is still so: whoever comes last leaves both in step, and whoever is killed is stood in for.
"""

import asyncio

import structlog

from artcafe_common import clock
from artcafe_common.broker.subjects import HISTORY_STREAM, REPUBLISH_PREFIX, channel_subject
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.identity.streams import (
    EnsureStream,
    PurgeStream,
    RemoveStream,
    StreamRefused,
    SubjectOverlap,
)
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import SubjectChanged
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.contracts.tenancy.subjects import Retention, SubjectStatus
from artcafe_common.plans import LIMITS
from artcafe_common.storage.dynamo import ConditionFailed
from artcafe_tenancy.outbox import entry
from artcafe_tenancy.store import Store
from artcafe_tenancy.subject_patterns import channel_subjects, history_key, stream_of
from artcafe_tenancy.tables import SubjectItem, TenantItem
from artcafe_tenancy.unique_names import ATTEMPTS

# What the history of channels keeps: a week, so many messages of a channel, so many bytes in all.
HISTORY = Retention(max_age_s=7 * 24 * 3600, max_bytes=64 * 1024**2)
HISTORY_PER_CHANNEL = 10_000
# How long a caller waits for its stream before it is told that it will come.
SETTLED_WITHIN_S = 3.0
log = structlog.get_logger()


class StreamReconciler:
    """Applies SubjectChanged; safe to be told twice, late or out of order."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._history: Cache[str, str | None] = Cache(size=50_000, age_s=600)
        self._history_there: Cache[str, bool] = Cache(size=50_000, age_s=600)

    async def apply(self, event: SubjectChanged) -> None:
        """Bring the stream of a subject into step."""
        for _ in range(ATTEMPTS):
            item = await self._store.subjects.any(event.tenant_id, event.subject_id)
            if item is None or item.deleting:
                await self._remove(event.tenant_id, stream_of(event.subject_id))
                if item is not None:
                    await self._store.subjects.finish_delete(item)
                return
            if await self._ensure(item):
                return
        raise StoreUnavailable("too many changes of one subject at once")

    async def settled(self, tenant_id: str, key: str) -> SubjectItem | None:
        """The record once its stream is in step, or as it is when that takes too long; None when gone."""
        until, pause = asyncio.get_running_loop().time() + SETTLED_WITHIN_S, 0.03
        while True:
            now = await self._store.subjects.any(tenant_id, key)
            waits = now is not None and (now.deleting or now.status is SubjectStatus.PENDING)
            if not waits or asyncio.get_running_loop().time() > until:
                return now
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.3)

    async def _ensure(self, item: SubjectItem) -> bool:
        status, refusal = SubjectStatus.ACTIVE, None
        try:
            await self._bus.call(
                EnsureStream(
                    tenant_id=item.tenant_id,
                    stream=item.stream,
                    version=item.version,
                    subjects=item.raw,
                    max_bytes=item.retention.max_bytes,
                    max_age_s=item.retention.max_age_s,
                    max_messages=item.retention.max_messages,
                    max_messages_per_subject=item.max_messages_per_subject,
                    republish_prefix=REPUBLISH_PREFIX if item.stream == HISTORY_STREAM else None,
                )
            )
        except (SubjectOverlap, StreamRefused, AccountMissing) as error:
            status, refusal = SubjectStatus.REFUSED, error.code
            log.warning("subject_refused", subject_id=item.subject_id, reason=error.detail)
        return await self._store.subjects.mark(item, status, refusal)

    async def _remove(self, tenant_id: str, stream: str) -> None:
        try:
            await self._bus.call(RemoveStream(tenant_id=tenant_id, stream=stream))
        except AccountMissing:
            return  # and everything in it is gone

    # -- the history of channels -----------------------------------------------------------------

    async def keep_history(self, tenant: TenantItem) -> bool:
        """Begin to keep the messages of a tenant's channels, once; False when its plan has no room."""
        return await self._history.get(tenant.id, lambda: self._begin_history(tenant)) is not None

    async def history_there(self, tenant: TenantItem) -> None:
        """Return when messages of channels are kept from now on, or will be soon, or cannot be."""
        if await self.keep_history(tenant):
            await self._history_there.get(tenant.id, lambda: self._see_history(tenant.id))

    async def _see_history(self, tenant_id: str) -> bool:
        return await self.settled(tenant_id, history_key(tenant_id)) is not None

    async def _begin_history(self, tenant: TenantItem) -> str | None:
        key = history_key(tenant.id)
        if await self._store.subjects.any(tenant.id, key) is not None:
            return key
        now = clock.now()
        item = SubjectItem(
            subject_id=key,
            tenant_id=tenant.id,
            name="",
            pattern="",
            raw=[channel_subjects(tenant.id)],
            stream=HISTORY_STREAM,
            retention=HISTORY,
            max_messages_per_subject=HISTORY_PER_CHANNEL,
            description="",
            metadata={},
            created_at=now,
            updated_at=now,
        )
        told = entry(
            ActivityType.CHANNEL,
            "channels.history_begun",
            f"account:{tenant.id}",
            SubjectChanged(tenant_id=tenant.id, subject_id=key),
            tenant_id=tenant.id,
        )
        try:
            await self._store.subjects.create(item, LIMITS[tenant.plan].storage_bytes, told)
        except (PlanLimitReached, SubjectOverlap) as error:
            log.info("no_room_for_history", tenant_id=tenant.id, reason=error.detail)
            return None
        except ConditionFailed:
            return key  # another one did
        return key

    async def forget_channel(self, tenant_id: str, channel_id: str) -> None:
        """Delete what is kept of a channel."""
        try:
            await self._bus.call(
                PurgeStream(
                    tenant_id=tenant_id,
                    stream=HISTORY_STREAM,
                    subject_filter=channel_subject(tenant_id, channel_id),
                )
            )
        except AccountMissing:
            return
