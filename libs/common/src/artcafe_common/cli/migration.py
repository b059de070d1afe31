"""From agents to clients: each keeps its id, name and metadata, and gets an NKey.

A seed is in the file before its agent is touched, and a run that comes after one that broke off
takes it from there: so none is lost, whenever the process ends.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.cli.operator_bus import operator_bus
from artcafe_common.contracts.tenancy.agents import Agent, AgentNotFound, ListAgents, MigrateAgent

PAGE = 200


class SeedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file."""

    tenant_id: str
    client_id: str
    name: str
    nkey_public: str
    nkey_seed: str


class SeedFile:
    """Seeds, added one by one, each on disk before it is used; for its owner only."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "rb+")
        text = self._file.read()
        self._known: dict[str, SeedLine] = {}
        for line in text.splitlines():
            try:
                seed = msgspec.json.decode(line, type=SeedLine)
            except msgspec.DecodeError:
                # Cut off when a run ended: its agent was not touched yet.
                continue
            self._known[seed.client_id] = seed
        if text and not text.endswith(b"\n"):
            self._file.write(b"\n")

    def pair_of(self, agent: Agent) -> KeyPair:
        """The agent's key pair: one that an earlier run noted, or a new one."""
        known = self._known.get(agent.agent_id)
        if known is not None:
            return KeyPair(known.nkey_seed)
        pair = create(KeyKind.USER)
        line = SeedLine(
            tenant_id=agent.tenant_id,
            client_id=agent.agent_id,
            name=agent.name,
            nkey_public=pair.public,
            nkey_seed=pair.seed,
        )
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return pair

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


async def migrate(tenant_id: str, seeds: Path | None, say: Callable[[str], None]) -> bool:
    """Migrate an organization's agents, or without a file say which; False when one could not be."""
    async with operator_bus() as bus:
        caller = msgspec.structs.replace(CallerContext.service("admin"), tenant_id=tenant_id)
        agents = await _agents(bus, caller)
        if seeds is None:
            for agent in agents:
                say(f"would become a client: {agent.agent_id} {agent.name}")
            say(f"{len(agents)} agents; nothing was changed, --apply does it")
            return True
        file = SeedFile(seeds)
        try:
            done = [await _migrate(bus, caller, agent, file, say) for agent in agents]
        finally:
            file.close()
        say(f"{sum(done)} of {len(agents)} agents are clients now; their seeds are in {seeds}")
        return all(done)


async def _agents(bus: Bus, caller: CallerContext) -> list[Agent]:
    agents: list[Agent] = []
    cursor: str | None = None
    while True:
        page = await bus.call(ListAgents(limit=PAGE, cursor=cursor), caller=caller)
        agents += page.agents
        cursor = page.next_cursor
        if cursor is None:
            return agents


async def _migrate(
    bus: Bus, caller: CallerContext, agent: Agent, file: SeedFile, say: Callable[[str], None]
) -> bool:
    public = file.pair_of(agent).public
    try:
        await bus.call(MigrateAgent(agent_id=agent.agent_id, nkey_public=public), caller=caller)
    except AgentNotFound:
        say(f"deleted meanwhile: {agent.agent_id} {agent.name}")
    except CommandError as error:
        say(f"not migrated: {agent.agent_id} {agent.name}: {error.detail} ({error.code})")
        return False
    else:
        say(f"is a client now: {agent.agent_id} {agent.name}")
    return True
