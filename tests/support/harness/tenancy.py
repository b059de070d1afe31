"""A running tenancy service with a fake identity service, and actors that send it commands."""

import asyncio

from artcafe_common.broker import nkeys
from artcafe_common.bus.caller import CallerContext, current_tenant
from artcafe_common.bus.errors import CommandError, StoreUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.accounts import BrokerAccount
from artcafe_common.contracts.identity.clients import IssuedKeyPair
from artcafe_common.contracts.tenancy.accounts import ChangePlan, CreateAccount
from artcafe_common.contracts.tenancy.channels import CreateChannel
from artcafe_common.contracts.tenancy.clients import CreateClient, ListClients
from artcafe_common.contracts.tenancy.members import AddMember, ListMembers, Role
from artcafe_common.contracts.tenancy.profiles import RecordUserDetails
from artcafe_common.plans import Plan
from support.waiting import eventually


class FakeIdentity:
    """Creates accounts and keys as identity does, and records the requests."""

    def __init__(self):
        self.plans = {}
        self.keys = []
        self.down = False

    async def ensure_account(self, request):
        if self.down:
            raise StoreUnavailable
        self.plans[request.tenant_id] = request.plan
        return BrokerAccount(account="A", tenant_id=request.tenant_id, platform_key="A")

    async def issue_client_key(self, _request):
        current_tenant()
        pair = nkeys.create_key_pair(nkeys.KeyKind.USER)
        self.keys.append(pair.public)
        return IssuedKeyPair(nkey_public=pair.public, nkey_seed=pair.seed)


class TenancyHarness:
    """The buses of the services that call tenancy, and the events that tenancy published."""

    def __init__(self, *, gateway, presence, admin, identity, identity_bus):
        self.gateway = gateway
        self.presence = presence
        self.admin = admin
        self.identity = identity
        self.identity_bus = identity_bus
        self.events = []

    async def record(self, event):
        self.events.append(event)

    def user(self, user_id=None):
        return Actor(self, user_id or f"user-{new_id()}")

    async def person(self, email, **details):
        """A user whose e-mail address identity has recorded as the provider's."""
        user = self.user()
        await self.record_details(user, email, **details)
        return user

    async def record_details(self, user, email, *, verified=True):
        command = RecordUserDetails(user_id=user.user_id, email=email, email_verified=verified)
        await self.identity_bus.call(command, caller=CallerContext.service("identity"))

    async def owner(self, plan=Plan.FREE):
        """The owner of a new organization."""
        user = self.user()
        account = await user(CreateAccount(name="Acme"))
        if plan is not Plan.FREE:
            await self.call_as_operator(ChangePlan(tenant_id=account.account_id, plan=plan))
        return user.acting_in(account.account_id, Role.OWNER)

    async def call_as_operator(self, command):
        return await self.admin.call(command, caller=CallerContext.service("admin"))

    async def wait_for_event(self, kind, **fields):
        """The first event of a class with these fields."""

        def find():
            return next(
                (
                    event
                    for event in self.events
                    if type(event) is kind and all(getattr(event, k) == v for k, v in fields.items())
                ),
                None,
            )

        return await eventually(find, within=8, every=0.01)


class Actor:
    """A user who sends commands, in a tenant or in none; call it with a command."""

    def __init__(self, harness, user_id, tenant_id="", role=""):
        self.harness = harness
        self.user_id = user_id
        self.tenant_id = tenant_id
        self.role = role

    def acting_in(self, tenant_id, role):
        return Actor(self.harness, self.user_id, tenant_id, role)

    async def __call__(self, command):
        caller = CallerContext(
            request_id="test", tenant_id=self.tenant_id, actor=f"user:{self.user_id}", role=self.role
        )
        return await self.harness.gateway.call(command, caller=caller)

    async def add_member(self, role):
        """Add a new user to this actor's organization."""
        other = self.harness.user()
        await self(AddMember(user_id=other.user_id, email="c@example.com", role=role))
        return other.acting_in(self.tenant_id, role)

    async def list_roles(self):
        """The role of each member of this actor's organization; the list follows changes later."""
        return {member.user_id: member.role for member in (await self(ListMembers())).members}

    async def list_clients(self, **query):
        """The first page of this organization's clients; the list follows changes later."""
        return (await self(ListClients(**query))).clients

    async def create_client(self, name="robot", **fields):
        return (await self(CreateClient(name=name, **fields))).client

    async def create_channel(self, name="news", **fields):
        return await self(CreateChannel(name=name, **fields))


async def gather_outcomes(*calls):
    """Run calls concurrently: (results, classes of the command errors). Other errors are raised."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, CommandError):
            raise outcome
    results = [outcome for outcome in outcomes if not isinstance(outcome, CommandError)]
    return results, [type(outcome) for outcome in outcomes if isinstance(outcome, CommandError)]


def tampered(text):
    """The text with its middle character changed."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
