"""The composition of tenancy, from settings to a running service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.metering import QuotaCrossed
from artcafe_common.contracts.presence import PresenceChanged
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_common.contracts.tenancy.events import (
    AgentRevoked,
    ChannelChanged,
    ChannelSubscribed,
    ClientRevoked,
    SubjectChanged,
)
from artcafe_common.cursors import CursorCodec
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import run_service
from artcafe_common.settings import read_secret
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.activity import ActivityRecorder
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.channel_subscriptions import ChannelSubscriptionRecorder
from artcafe_tenancy.endpoints import Endpoints
from artcafe_tenancy.outbox import LEFT_OVER_S, Outbox
from artcafe_tenancy.presence_mirror import PresenceMirror
from artcafe_tenancy.settings import Settings
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler
from artcafe_tenancy.tables import TABLES


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Organizations and what they own, answered until this is left."""
    cursors = CursorCodec(read_secret(settings.keys_dir / "cursor.key"))
    async with (
        Database(region=settings.aws_region, prefix=settings.table_prefix) as database,
        run_service("tenancy", settings, {"dynamodb": lambda: database.check(TABLES)}) as host,
    ):
        journal, activity = Outbox(database, host.bus), ActivityTable(database)
        store = Store(database, journal)
        streams = StreamReconciler(store, host.bus)
        endpoints = Endpoints(
            store=store,
            activity=activity,
            streams=streams,
            bus=host.bus,
            cursors=cursors,
            default_plan=settings.default_plan,
        )
        await host.serve_when_ready(endpoints)
        mirror, keeper = PresenceMirror(store), ActivityRecorder(store, activity, host.bus)
        subscriptions = ChannelSubscriptionRecorder(store, streams)

        async def came_or_went(event: PresenceChanged) -> None:
            await mirror.apply(event)
            await keeper.came_or_went(event)

        # Concurrent: each event is its own item, and the mirror itself refuses what comes out of order.
        consumer = EventConsumer(
            host.bus,
            "tenancy",
            {
                PresenceChanged: came_or_went,
                ActivityRecorded: keeper.recorded,
                QuotaCrossed: keeper.quota_crossed,
                ChannelSubscribed: subscriptions.subscribed,
                ClientRevoked: subscriptions.revoked,
                AgentRevoked: subscriptions.revoked,
            },
            concurrent=True,
        )
        # By itself: these wait for identity and the broker, and the others do not wait for them.
        stream_consumer = EventConsumer(
            host.bus,
            "tenancy-streams",
            {SubjectChanged: streams.apply, ChannelChanged: subscriptions.channel_changed},
            concurrent=True,
        )
        async with run_background(
            consumer.run(),
            stream_consumer.run(),
            run_periodically(LEFT_OVER_S, journal.tell_left_over, name="left_over"),
        ):
            try:
                yield
            finally:
                await journal.close()
