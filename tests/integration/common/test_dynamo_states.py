"""What a call to DynamoDB does in each of its states; the services see the same errors."""

import asyncio
import time
from datetime import timedelta

import msgspec
import pytest
from boto3.dynamodb.conditions import Attr

from artcafe_common import clock
from artcafe_common.bus.errors import InvalidRequest, StoreUnavailable
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.dev.stack import REGION
from artcafe_common.plans import Plan
from artcafe_common.retrying import deadline
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Table
from artcafe_identity.store import Store
from artcafe_identity.tables import ACCOUNTS, CHALLENGES, AccountItem
from artcafe_metering.archive import UsageArchive
from artcafe_metering.tables import USAGE_METRICS, DayItem, day_id
from artcafe_tenancy.channel_subscription_table import SubscriptionTable
from artcafe_tenancy.invitation_table import InvitationTable
from artcafe_tenancy.tables import (
    CHANNELS,
    INVITATIONS,
    PROFILES,
    SUBSCRIPTIONS,
    ChannelItem,
    InvitationItem,
    ProfileItem,
)
from support.aws import aws_environment
from support.dynamo_proxy.faults import TRANSACTION, WRITES, Faults
from support.faulty_stack import QuietStack
from support.stack import running_stack

DEADLINE_S = 1.0


@pytest.fixture(scope="module")
async def stack(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stack")
    async with running_stack(directory, servers=("moto",), kind=QuietStack) as running:
        await running.wait_for_proxy()
        yield running


@pytest.fixture(scope="module")
async def database(stack):
    with aws_environment(stack):
        async with Database(region=REGION, prefix="artcafe-") as database:
            for spec in (PROFILES, CHANNELS, INVITATIONS, SUBSCRIPTIONS, USAGE_METRICS, ACCOUNTS, CHALLENGES):
                await database.create_table(spec)
            yield database


@pytest.fixture
async def faults(stack):
    """Sets the faults until the end of the test."""
    yield stack.set_faults
    await stack.set_faults(Faults())


@pytest.fixture
def profiles(database):
    return Table(database, PROFILES)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Faults(throttled=1.0), "throttles"),
        (Faults(errors=1.0), "failed"),
        (Faults(late=1.0, late_s=5.0), "did not respond"),
        (Faults(conflicts=1.0), "concurrent changes"),
    ],
    ids=["throttled", "errors", "late", "conflicts"],
)
async def test_lasting_fault_ends_within_the_deadline(profiles, faults, fault, reason):
    await faults(fault)
    started_at = time.monotonic()
    with deadline(DEADLINE_S), pytest.raises(StoreUnavailable, match=reason) as raised:
        await profiles.put(ProfileItem(user_id="u"))
    assert raised.value.retry_after_s
    assert time.monotonic() - started_at < DEADLINE_S + 2


@pytest.mark.parametrize(
    "fault",
    [Faults(throttled=1.0, first=2), Faults(errors=1.0, first=2), Faults(conflicts=1.0, first=2)],
    ids=["throttled", "errors", "conflicts"],
)
async def test_short_fault_is_not_noticed(stack, profiles, faults, fault):
    await faults(fault)
    await profiles.database.transact_write([profiles.build_put(ProfileItem(user_id="short"))])
    assert sum((await stack.count_faults()).values()) == 2


async def test_busy_dynamodb_that_serves_others_is_waited_for(profiles, faults):
    """A call is given up when DynamoDB has served none for a while."""
    await profiles.put(ProfileItem(user_id="slow"))
    await faults(Faults(late=1.0, late_s=DEADLINE_S, operations=("GetItem",)))
    with deadline(30, patience_s=DEADLINE_S / 2):
        with pytest.raises(StoreUnavailable, match="did not respond"):
            await profiles.get("slow")
        reading = asyncio.create_task(profiles.get("slow"))
        while not reading.done():
            await profiles.put(ProfileItem(user_id="other"))
            await asyncio.sleep(DEADLINE_S / 10)
        assert await reading is not None


async def test_batch_is_written_although_items_are_refused(stack, profiles, faults):
    await faults(Faults(throttled=0.7, operations=("BatchWriteItem",)))
    users = [f"batch {number}" for number in range(30)]
    await profiles.database.batch_write([profiles.build_put(ProfileItem(user_id=user)) for user in users])
    for user in users:
        assert await profiles.get(user, consistent=True) is not None
    assert (await stack.count_faults())["throttled"]


async def test_write_whose_response_is_lost_is_made_once(database, profiles, faults):
    await profiles.put(ProfileItem(user_id="once", organizations_count=1))
    increment = profiles.build_update("once", add={"organizations_count": 1})
    await faults(Faults(lost=1.0, first=1, operations=(TRANSACTION,)))
    await database.transact_write([increment])
    assert (await profiles.get("once", consistent=True)).organizations_count == 2
    new = profiles.build_put(ProfileItem(user_id="new once"), new=True)
    await faults(Faults(lost=1.0, first=1, operations=WRITES))
    await database.write(new, once=True)
    # That the condition does not hold is still told, each time.
    with pytest.raises(ConditionFailed):
        await database.write(new, once=True)
    with pytest.raises(TransactionFailed):
        await database.transact_write([new])


async def test_account_is_replaced_once_although_the_response_is_lost(database, faults):
    """Otherwise a new key would be recorded twice, and a changed quota be taken for an unchanged one."""
    store = Store(database)
    account = AccountItem(
        seed_id="account#t",
        tenant_id="t",
        account="A",
        platform_key="A",
        sealed_seed="",
        plan=Plan.FREE,
        tenant_keys=[],
        jwt="",
        version=1,
    )
    assert await store.create_account(account)
    changed = msgspec.structs.replace(account, quota_exhausted_until=1, version=2)
    await faults(Faults(lost=1.0, first=1, operations=WRITES))
    assert await store.replace_account(changed)
    assert not await store.replace_account(changed)
    assert await store.get_account("t") == changed


async def test_totals_that_the_index_lacks_are_recovered(database, faults):
    await faults(Faults(lag_s=0.5))
    archive, today = UsageArchive(database), clock.now().date()
    day = DayItem(id=day_id("t", today), tenant_id="t", date=str(today), messages=7)
    await archive.raise_totals(day)
    assert await archive.list_days("t", today, today) == []
    assert await archive.list_current_days("t", today - timedelta(days=30), today, latest=2) == [day]


async def test_latest_subscription_of_a_deleted_client_is_deleted(database, faults):
    await faults(Faults(lag_s=0.5))
    subscriptions = SubscriptionTable(database)
    await subscriptions.put("t", "client", "channel", clock.now())
    await subscriptions.delete_client("client")
    stored = await Table(database, SUBSCRIPTIONS).query("client", consistent=True)
    assert stored.items == []


async def test_new_invitation_is_found_by_its_id(database, faults):
    await faults(Faults(lag_s=0.3))
    item = InvitationItem(
        tenant_id="t",
        email="new@example.org",
        invitation_id="i",
        role=Role.MEMBER,
        invited_by="user:u",
        created_at=clock.now(),
        expires_at=int(time.time()) + 60,
    )
    await Table(database, INVITATIONS).put(item)
    invitations = InvitationTable(database, outbox=None)
    assert (await invitations.list_for(item.email, limit=1)).items == []
    assert await invitations.find_for(item.email, "i") == item
    assert await invitations.find_for("other@example.org", "i") is None


async def test_what_lags_is_an_index_and_a_read_that_is_not_consistent(database, profiles, faults):
    channels = Table(database, CHANNELS)
    await faults(Faults(lag_s=0.5))
    now = clock.now()
    item = ChannelItem(
        channel_id="c", tenant_id="t", name="n", metadata={}, description="", created_at=now, updated_at=now
    )
    await channels.put(item)
    assert await channels.get("c") is None
    assert (await channels.query("t", index="TenantIndex")).items == []
    assert await channels.get("c", consistent=True) == item
    assert (await channels.query("c", consistent=True)).items == [item]
    assert item in await channels.scan()


async def test_item_that_dynamodb_cannot_store_is_the_callers_error(database, profiles):
    too_large = ProfileItem(user_id="large", name="x" * 420_000)
    with pytest.raises(InvalidRequest, match="400 KB"):
        await profiles.put(too_large)
    with pytest.raises(InvalidRequest, match="400 KB"):
        await database.transact_write([profiles.build_put(too_large)])
    largest = ProfileItem(user_id="large", name="x" * 400_000)
    await profiles.put(largest)
    assert await profiles.get("large", consistent=True) == largest


async def test_filtered_pages_of_large_items_lose_none(database):
    channels = Table(database, CHANNELS)
    now = clock.now()
    for number in range(12):
        await channels.put(
            ChannelItem(
                channel_id=f"large {number:02}",
                tenant_id="large",
                name="odd" if number % 2 else "even",
                metadata={},
                description="x" * 300_000,
                created_at=now,
                updated_at=now,
            )
        )
    found, position = [], None
    while True:
        page = await channels.query(
            "large", index="TenantIndex", limit=50, position=position, where=Attr("name").eq("odd")
        )
        assert len(page.items) == 1
        found += [item.channel_id for item in page.items]
        position = page.position
        if position is None:
            break
    assert found == [f"large {number:02}" for number in range(1, 12, 2)]
