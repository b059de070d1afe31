"""Composition root of tenancy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.metering import QuotaCrossed
from artcafe_common.contracts.presence import PresenceChanged, PresencesChanged
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_common.contracts.tenancy.events import (
    AccountDataDeleted,
    AgentRevoked,
    ChannelChanged,
    ChannelSubscribed,
    ClientRevoked,
    SubjectChanged,
)
from artcafe_common.cursors import CursorCodec
from artcafe_common.key_ring import REFRESH_INTERVAL_S, KeyRing
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import run_service
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.account_deletion import CHECK_INTERVAL_S, AccountDeleter
from artcafe_tenancy.activity import ActivityRecorder
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.channel_subscriptions import ChannelSubscriptionRecorder
from artcafe_tenancy.endpoints import Endpoints
from artcafe_tenancy.metrics import register as register_metrics
from artcafe_tenancy.outbox import PENDING_AFTER_S, Outbox
from artcafe_tenancy.presence_mirror import PresenceMirror
from artcafe_tenancy.settings import Settings
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler
from artcafe_tenancy.tables import TABLES


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run tenancy until the context is left."""
    cursor_keys = KeyRing.from_file(settings.keys_dir / "cursor.key")
    cursors = CursorCodec(cursor_keys)
    async with (
        Database(region=settings.aws_region, prefix=settings.table_prefix) as database,
        run_service("tenancy", settings, {"dynamodb": lambda: database.check_tables(TABLES)}) as runtime,
    ):
        outbox = Outbox(database, runtime.bus)
        activity = ActivityTable(database)
        store = Store(database, outbox)
        streams = StreamReconciler(store, runtime.bus)
        endpoints = Endpoints(
            store=store,
            activity=activity,
            streams=streams,
            bus=runtime.bus,
            cursors=cursors,
            default_plan=settings.default_plan,
            organizations_per_user=settings.organizations_per_user,
        )
        mirror = PresenceMirror(store)
        recorder = ActivityRecorder(store, activity, runtime.bus)
        subscriptions = ChannelSubscriptionRecorder(store, streams)
        deleter = AccountDeleter(store, activity, runtime.bus)

        async def apply_presences(changes: Sequence[PresenceChanged]) -> None:
            await mirror.apply(changes)
            await recorder.record_presences(changes)

        async def on_presences_changed(event: PresencesChanged) -> None:
            await apply_presences(event.changes)

        async def on_presence_changed(event: PresenceChanged) -> None:
            await apply_presences([event])

        # Concurrent: the events concern separate items, and the presence mirror ignores reordered ones.
        consumer = EventConsumer(
            runtime.bus,
            "tenancy",
            {
                PresencesChanged: on_presences_changed,
                PresenceChanged: on_presence_changed,
                ActivityRecorded: recorder.on_activity_recorded,
                QuotaCrossed: recorder.on_quota_crossed,
                ChannelSubscribed: subscriptions.on_channel_subscribed,
                ClientRevoked: subscriptions.on_credential_revoked,
                AgentRevoked: subscriptions.on_credential_revoked,
                AccountDataDeleted: deleter.on_data_deleted,
            },
            concurrent=True,
        )
        # A separate consumer, because these handlers wait for identity and the broker.
        stream_consumer = EventConsumer(
            runtime.bus,
            "tenancy-streams",
            {
                SubjectChanged: streams.on_subject_changed,
                ChannelChanged: subscriptions.on_channel_changed,
            },
            concurrent=True,
        )

        register_metrics(runtime.metrics, outbox=outbox)
        runtime.metrics.add_consumers(consumer, stream_consumer)
        runtime.metrics.add_stores(dynamodb=database.statistics)

        await runtime.serve_when_ready(endpoints)
        async with run_background(
            consumer.run(),
            stream_consumer.run(),
            run_periodically(REFRESH_INTERVAL_S, cursor_keys.refresh, name="refresh_keys"),
            run_periodically(PENDING_AFTER_S, outbox.publish_pending, name="publish_pending"),
            run_periodically(CHECK_INTERVAL_S, deleter.run, name="delete_accounts"),
        ):
            try:
                yield
            finally:
                await outbox.close()
