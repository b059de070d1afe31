"""Organizations without messages left may not publish over direct NATS until the month ends or their plan changes."""

import json
from base64 import urlsafe_b64decode
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.accounts import SigningKey
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.metering import GetCurrentUsage, QuotaCrossed
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.items import dump, load
from artcafe_identity import message_quota, tables
from artcafe_identity.client_claims import client_user_claims
from artcafe_identity.message_quota import MessageQuota, reports_only
from artcafe_identity.tables import AccountItem
from support.fakes.accounts import FakeAccountStore, FakeSystemAccount, account_repository
from support.fakes.bus import FakeBus
from support.fakes.ids import CLIENT, TENANT

FREE = LIMITS[Plan.FREE].messages_per_month
PERIOD_END = date(2030, 1, 31)
MONTH_END = int(datetime(2030, 2, 1, tzinfo=UTC).timestamp())


class Clients:
    """Counts how often all clients had to connect again."""

    def __init__(self):
        self.kicks = 0

    async def kick_all(self, _account):
        self.kicks += 1
        return 1


class Identity:
    """One organization with a signing key of its own; `plan` and `used` are what tenancy and metering say."""

    def __init__(self):
        self.plan, self.used = Plan.FREE, 0
        self.store, self.system, self.clients = FakeAccountStore(), FakeSystemAccount(), Clients()
        self.bus = FakeBus({GetAccount: self._account, GetCurrentUsage: self._usage})
        self.accounts = account_repository(self.store, self.system, self.bus)
        self.quota = MessageQuota(bus=self.bus, accounts=self.accounts, clients=self.clients)
        self.own_key = create_key_pair(KeyKind.ACCOUNT).public

    async def start(self):
        await self.accounts.ensure(TENANT, self.plan)

        async def keys(_before):
            return [SigningKey(nkey_public=self.own_key)]

        await self.accounts.change_tenant_keys(TENANT, keys)

    def _account(self, _command):
        return SimpleNamespace(plan=self.plan)

    def _usage(self, _command):
        return SimpleNamespace(messages=SimpleNamespace(used=self.used), period_end=PERIOD_END)

    async def cross(self, percent):
        await self.quota.on_quota_crossed(
            QuotaCrossed(tenant_id=TENANT, percent=percent, used=self.used, limit=FREE)
        )

    async def change_plan(self, plan):
        self.plan = plan
        await self.quota.on_plan_changed(PlanChanged(tenant_id=TENANT, plan=plan))

    @property
    def item(self):
        return self.store.items[TENANT]

    @property
    def own_key_is_active(self):
        body = self.system.pushed[-1].split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["nats"]
        return self.own_key in claims["signing_keys"]


@pytest.fixture
async def identity():
    identity = Identity()
    await identity.start()
    return identity


async def test_publishing_ends_at_all_messages_and_begins_with_a_larger_plan(identity):
    identity.used = FREE * 8 // 10
    await identity.cross(80)
    assert not identity.item.is_quota_exhausted
    assert identity.own_key_is_active
    identity.used = FREE
    await identity.cross(100)
    assert identity.item.quota_exhausted_until == MONTH_END
    assert identity.item.is_quota_exhausted
    assert not identity.own_key_is_active
    assert identity.clients.kicks == 1
    await identity.change_plan(Plan.BASIC)
    assert not identity.item.is_quota_exhausted
    assert identity.own_key_is_active
    assert identity.clients.kicks == 2
    # Back to the smaller plan, whose messages are used up already.
    await identity.change_plan(Plan.FREE)
    assert identity.item.is_quota_exhausted


async def test_repeated_event_ends_connections_again(identity):
    identity.used = FREE
    await identity.cross(100)
    version = identity.item.version
    await identity.cross(100)
    assert (identity.item.version, identity.clients.kicks) == (version, 2)


async def test_outdated_event_changes_nothing(identity):
    identity.plan, identity.used = Plan.BASIC, FREE
    await identity.cross(100)
    assert not identity.item.is_quota_exhausted


async def test_event_is_handled_again_while_metering_does_not_answer(identity):
    identity.bus.replies[GetCurrentUsage] = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await identity.cross(100)


async def test_publishing_begins_again_when_the_month_ends(identity, monkeypatch):
    identity.used = FREE
    await identity.cross(100)
    await identity.quota.lift_expired()
    assert not identity.own_key_is_active
    after = SimpleNamespace(time=lambda: MONTH_END + timedelta(seconds=1).total_seconds())
    monkeypatch.setattr(message_quota, "time", after)
    monkeypatch.setattr(tables, "time", after)
    assert not identity.item.is_quota_exhausted
    identity.used = 0
    await identity.quota.lift_expired()
    assert identity.item.quota_exhausted_until == 0
    assert identity.own_key_is_active


def test_client_may_still_send_its_reports_and_subscribe():
    everything = Permissions(publish=[">"], subscribe=[">"])
    claims = client_user_claims(tenant_id=TENANT, client_id=CLIENT, account="A", permissions=everything)
    restricted = reports_only(claims, TENANT, CLIENT)
    assert restricted.sub == claims.sub
    assert f"_heartbeat.{TENANT}.{CLIENT}" in restricted.pub.allow
    assert all(subject.startswith("_") and CLIENT in subject for subject in restricted.pub.allow)


async def test_account_of_an_earlier_release_is_not_exhausted(identity):
    stored = dump(identity.item)
    stored.pop("quota_exhausted_until", None)
    item = load(AccountItem, stored)
    assert item.quota_exhausted_until == 0
    assert msgspec.structs.replace(item, quota_exhausted_until=0) == identity.item


async def test_changed_plan_reaches_the_broker_although_the_command_could_not_say_so(identity):
    await identity.change_plan(Plan.PRO)
    assert identity.item.plan is Plan.PRO


async def test_events_of_two_plan_changes_end_with_the_present_plan(identity):
    """The first event's handler reads the plan, and continues after the second event was handled."""
    reads = iter([Plan.PRO, Plan.BASIC, Plan.BASIC, Plan.BASIC])
    identity.bus.replies[GetAccount] = lambda _: SimpleNamespace(plan=next(reads))
    await identity.quota.on_plan_changed(PlanChanged(tenant_id=TENANT, plan=Plan.PRO))
    assert identity.item.plan is Plan.BASIC


async def test_plan_of_an_organization_that_is_gone_changes_nothing(identity):
    before = identity.item
    identity.bus.replies[GetAccount] = AccountNotFound()
    await identity.quota.on_plan_changed(PlanChanged(tenant_id=TENANT, plan=Plan.PRO))
    assert identity.item.plan is before.plan
