"""Refused logins, told to the organization whose client or agent it was said to be: behind the answer.

Whom a refusal concerns is looked up later, one at a time, so that no answer waits for it and nobody
learns from a clock whether there was anyone to be told.
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

ACTION = "access.login_denied"
MAX_ID = 128
MAX_WAITING = 1_000
PAUSE_S = 1.0
log = structlog.get_logger()


class FailedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was refused as a client (by its id or its key) or an agent that they were not."""

    caller: CallerContext
    client_id: str = ""
    nkey: str = ""
    agent_id: str = ""


class LoginFailures:
    """A queue with a bound: when it is full, refusals are only counted in the service's log."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[FailedLogin | ActivityRecorded] = asyncio.Queue(MAX_WAITING)
        self._denials = DenialReporter(self._put)
        self._owners: Cache[tuple[str, str, str], tuple[str, str]] = Cache(size=10_000, age_s=60)
        self._left_out = 0

    def said(self, *, client_id: str = "", nkey: str = "", agent_id: str = "") -> None:
        """Somebody said to be this, and was not; what cannot be an id or a key is nobody's."""
        if len(client_id) > MAX_ID or len(nkey) > MAX_ID or len(agent_id) > MAX_ID:
            return
        caller = msgspec.structs.replace(current_caller(), actor="")
        self._put(FailedLogin(caller=caller, client_id=client_id, nkey=nkey, agent_id=agent_id))

    def proven(self, actor: str, tenant_id: str) -> None:
        """A client or agent that proved who it is was refused."""
        caller = msgspec.structs.replace(current_caller(), actor=actor)
        self._denials.report(caller, ACTION, actor, tenant_id=tenant_id)

    async def run(self) -> None:
        """Tell what waits until cancelled."""
        while True:
            waiting = await self._waiting.get()
            try:
                if isinstance(waiting, ActivityRecorded):
                    await self._bus.publish(waiting)
                else:
                    await self._tell(waiting)
            except CommandError:
                if isinstance(waiting, ActivityRecorded):
                    self._put(waiting)
                else:
                    self._left_out += 1
                await asyncio.sleep(PAUSE_S)

    async def tick(self) -> None:
        """Called now and then."""
        self._denials.report_suppressed()
        if self._left_out:
            log.warning("refused_logins_not_told", count=self._left_out)
            self._left_out = 0

    def _put(self, waiting: FailedLogin | ActivityRecorded) -> None:
        try:
            self._waiting.put_nowait(waiting)
        except asyncio.QueueFull:
            self._left_out += 1

    async def _tell(self, knock: FailedLogin) -> None:
        key = (knock.client_id, knock.nkey, knock.agent_id)
        tenant_id, resource = await self._owners.get(key, lambda: self._owner(knock))
        if tenant_id:
            self._denials.report(knock.caller, ACTION, resource, tenant_id=tenant_id)

    async def _owner(self, knock: FailedLogin) -> tuple[str, str]:
        caller = CallerContext.service("identity")
        try:
            if knock.agent_id:
                agent = await self._bus.call(FindAgentCredential(agent_id=knock.agent_id), caller=caller)
                return agent.tenant_id, f"agent:{agent.agent_id}"
            command = (
                FindClientCredential(client_id=knock.client_id)
                if knock.client_id
                else FindClientCredential(nkey_public=knock.nkey)
            )
            client = await self._bus.call(command, caller=caller)
        except (AgentNotFound, ClientNotFound):
            return "", ""
        return client.tenant_id, f"client:{client.client_id}"
