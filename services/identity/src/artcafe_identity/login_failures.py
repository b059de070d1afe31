"""Reports failed logins to the activity log of the organization they concern.

The organization is looked up in the background, one login at a time. So the login's response does not
wait for it, and its timing does not reveal whether the claimed client exists.
"""

import asyncio

import msgspec
import structlog

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.cache import Cache
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_common.contracts.tenancy.agents import AgentNotFound
from artcafe_common.contracts.tenancy.clients import ClientNotFound
from artcafe_common.contracts.tenancy.credentials import FindAgentCredential, FindClientCredential
from artcafe_identity.tables import MAX_ID_LENGTH

ACTION = "access.login_denied"
MAX_QUEUED = 1_000
RETRY_DELAY_S = 1.0
log = structlog.get_logger()


class FailedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A failed login under a claimed client id, public key or agent id."""

    caller: CallerContext
    client_id: str = ""
    nkey: str = ""
    agent_id: str = ""


class LoginFailureReporter:
    """A bounded queue of failed logins; when it is full, further ones are dropped and counted in the log."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._queue: asyncio.Queue[FailedLogin | ActivityRecorded] = asyncio.Queue(MAX_QUEUED)
        self._denials = DenialReporter(self._enqueue)
        self._owners: Cache[tuple[str, str, str], tuple[str, str]] = Cache(size=10_000, age_s=60)
        self._dropped = 0

    @property
    def queued_count(self) -> int:
        """How many failures wait to be reported."""
        return self._queue.qsize()

    def record_unverified(self, *, client_id: str = "", nkey: str = "", agent_id: str = "") -> None:
        """Record a failed login under an identity that was claimed and not proven.

        Ids and keys that are too long to exist are ignored.
        """
        if len(client_id) > MAX_ID_LENGTH or len(nkey) > MAX_ID_LENGTH or len(agent_id) > MAX_ID_LENGTH:
            return
        caller = msgspec.structs.replace(current_caller(), actor="")
        self._enqueue(FailedLogin(caller=caller, client_id=client_id, nkey=nkey, agent_id=agent_id))

    def record_verified(self, actor: str, tenant_id: str) -> None:
        """Record that a client or agent with a valid signature was rejected."""
        caller = msgspec.structs.replace(current_caller(), actor=actor)
        self._denials.report(caller, ACTION, actor, tenant_id=tenant_id)

    async def run(self) -> None:
        """Report queued failures until cancelled."""
        while True:
            entry = await self._queue.get()
            try:
                if isinstance(entry, ActivityRecorded):
                    await self._bus.publish(entry)
                else:
                    await self._report(entry)
            except CommandError:
                if isinstance(entry, ActivityRecorded):
                    self._enqueue(entry)
                else:
                    self._dropped += 1
                await asyncio.sleep(RETRY_DELAY_S)

    async def tick(self) -> None:
        """Report the denials that were suppressed in finished minutes, and log dropped ones."""
        self._denials.report_suppressed()
        if self._dropped:
            log.warning("failed_logins_dropped", count=self._dropped)
            self._dropped = 0

    def _enqueue(self, entry: FailedLogin | ActivityRecorded) -> None:
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self._dropped += 1

    async def _report(self, failure: FailedLogin) -> None:
        key = (failure.client_id, failure.nkey, failure.agent_id)
        tenant_id, resource = await self._owners.get(key, lambda: self._find_owner(failure))
        if tenant_id:
            self._denials.report(failure.caller, ACTION, resource, tenant_id=tenant_id)

    async def _find_owner(self, failure: FailedLogin) -> tuple[str, str]:
        caller = CallerContext.service("identity")
        try:
            if failure.agent_id:
                agent = await self._bus.call(FindAgentCredential(agent_id=failure.agent_id), caller=caller)
                return agent.tenant_id, f"agent:{agent.agent_id}"
            command = (
                FindClientCredential(client_id=failure.client_id)
                if failure.client_id
                else FindClientCredential(nkey_public=failure.nkey)
            )
            client = await self._bus.call(command, caller=caller)
        except (AgentNotFound, ClientNotFound):
            return "", ""
        return client.tenant_id, f"client:{client.client_id}"
