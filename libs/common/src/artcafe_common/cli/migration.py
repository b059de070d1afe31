"""Migration of agents to clients: each keeps its id, name and metadata, and gets an NKey.

A seed is written to the file before its agent is migrated, and a later run reuses it, so no seed is
lost when a run is interrupted.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.cli.operator_bus import operator_bus
from artcafe_common.contracts.tenancy.agents import Agent, AgentNotFound, ListAgents, MigrateAgent

PAGE = 200


class SeedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the seed file."""

    tenant_id: str
    client_id: str
    name: str
    nkey_public: str
    nkey_seed: str


class SeedFile:
    """A file of seeds with mode 0600; each seed is on disk before it is used."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "rb+")
        text = self._file.read()
        self._seeds: dict[str, SeedLine] = {}
        for line in text.splitlines():
            try:
                seed = msgspec.json.decode(line, type=SeedLine)
            except msgspec.DecodeError:
                # A line cut off by an interrupted run; its agent was not migrated.
                continue
            self._seeds[seed.client_id] = seed
        if text and not text.endswith(b"\n"):
            self._file.write(b"\n")

    def key_pair(self, agent: Agent) -> KeyPair:
        """The agent's key pair from an earlier run, or a new one."""
        seed = self._seeds.get(agent.agent_id)
        if seed is not None:
            return KeyPair(seed.nkey_seed)
        pair = create_key_pair(KeyKind.USER)
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
        """Close the file."""
        self._file.close()


async def migrate(tenant_id: str, seeds: Path | None, report: Callable[[str], None]) -> bool:
    """Migrate an organization's agents, or without `seeds` only list them; False if one failed."""
    async with operator_bus() as bus:
        caller = msgspec.structs.replace(CallerContext.service("admin"), tenant_id=tenant_id)
        agents = await _list_agents(bus, caller)
        if seeds is None:
            for agent in agents:
                report(f"would become a client: {agent.agent_id} {agent.name}")
            report(f"{len(agents)} agents; nothing was changed, use --apply to migrate them")
            return True
        file = SeedFile(seeds)
        try:
            migrated = [await _migrate(bus, caller, agent, file, report) for agent in agents]
        finally:
            file.close()
        report(f"migrated {sum(migrated)} of {len(agents)} agents; the seeds are in {seeds}")
        return all(migrated)


async def _list_agents(bus: Bus, caller: CallerContext) -> list[Agent]:
    agents: list[Agent] = []
    cursor: str | None = None
    while True:
        page = await bus.call(ListAgents(limit=PAGE, cursor=cursor), caller=caller)
        agents += page.agents
        cursor = page.next_cursor
        if cursor is None:
            return agents


async def _migrate(
    bus: Bus, caller: CallerContext, agent: Agent, file: SeedFile, report: Callable[[str], None]
) -> bool:
    public = file.key_pair(agent).public
    try:
        await bus.call(MigrateAgent(agent_id=agent.agent_id, nkey_public=public), caller=caller)
    except AgentNotFound:
        report(f"already deleted: {agent.agent_id} {agent.name}")
    except CommandError as error:
        report(f"not migrated: {agent.agent_id} {agent.name}: {error.detail} ({error.code})")
        return False
    else:
        report(f"migrated: {agent.agent_id} {agent.name}")
    return True
