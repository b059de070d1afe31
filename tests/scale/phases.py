"""The phases of one size: what is measured, in this order."""

import asyncio

from scale.measures import (
    KIB,
    accounts_without_jetstream,
    measure_broker_restart,
    measure_identity_start,
    measure_logins,
    measure_looks,
    measure_sockets,
    publish,
    wait_for_accounts,
)

ACCOUNTS_WITHIN_S = 600
# Longer than identity's interval between two comparisons of the accounts.
IDENTITY_WINDOW_S = 40
IDENTITY_START_S = 20
IDLE_WINDOW_S = 16
PUBLISH_SECONDS = 12


async def measure_accounts(machine, population, given):
    """Organizations without connections: what their accounts cost identity and the broker."""
    tenants = len(population.organizations)
    # The broker has each organization's account for clients and one for streams.
    yield {"accounts_pushed_s": await wait_for_accounts(machine, 2 * tenants, within_s=ACCOUNTS_WITHIN_S)}
    yield {"identity_start_s": await measure_identity_start(machine, population.organizations[0])}
    # First it reads all accounts.
    shares = await machine.shares(IDENTITY_START_S)
    yield {"identity_processor_at_first": shares["identity"]}
    shares = await machine.shares(IDENTITY_WINDOW_S)
    yield {
        "identity_processor": shares["identity"],
        "broker_processor": shares["nats"],
        "identity_mib": machine.memory("identity") / KIB / KIB,
        "broker_mib": machine.memory("nats") / KIB / KIB,
    }
    del given


async def measure_bridges(machine, population, given):
    """Organizations with one WebSocket each: what a bridge costs the gateway and the broker."""
    sockets, rate, used, errors = await measure_sockets(machine, population.organizations[-given.sockets :])
    yield {
        "sockets": len(sockets),
        "first_sockets_per_s": rate,
        "gateway_kib_per_tenant": used["gateway"],
        "broker_kib_per_tenant": used["nats"],
        "socket_errors": errors[:1],
    }
    shares = await machine.shares(IDLE_WINDOW_S)
    yield {"gateway_processor_idle": shares["gateway"]}
    for each in sockets:
        await each.close()


async def measure_connections(machine, population, given):
    """Direct connections over all organizations: what they cost while idle, and while all publish."""
    organizations = population.organizations
    memory, redis = machine.memory("nats"), await machine.redis_memory()
    peers, rate, errors = await measure_logins(machine, organizations[: given.logins])
    yield {"logins": len(peers), "logins_per_s": rate, "login_errors": errors[:1]}
    # The others come without the callout, which is quicker.
    others = [organizations[n % len(organizations)] for n in range(len(peers), given.connections)]
    more, _, errors = await measure_logins(machine, others, callout=False)
    peers += more
    await asyncio.sleep(IDLE_WINDOW_S / 2)
    yield {
        "connections": len(peers),
        "connection_errors": errors[:1],
        "broker_kib_per_connection": (machine.memory("nats") - memory) / KIB / max(1, len(peers)),
        "redis_kib_per_connection": (await machine.redis_memory() - redis) / KIB / max(1, len(peers)),
    }
    shares = await machine.shares(IDLE_WINDOW_S)
    yield {f"{name}_processor_idle": shares[name] for name in ("metering", "presence", "nats", "redis")}
    first, median, longest = await measure_looks(machine)
    yield {"first_look_s": first, "look_idle_s": median, "look_idle_longest_s": longest}

    publishing = asyncio.create_task(publish(peers, PUBLISH_SECONDS))
    measuring = asyncio.create_task(machine.shares(PUBLISH_SECONDS))
    _, median, longest = await measure_looks(machine)
    sent, shares = await publishing, await measuring
    yield {
        "messages_per_s": sent / PUBLISH_SECONDS,
        "look_moving_s": median,
        "look_moving_longest_s": longest,
    }
    yield {f"{name}_processor_moving": shares[name] for name in ("metering", "nats", "redis")}
    for each in peers:
        each.close()


async def measure_restart(machine, population, given):
    """The broker's restart, until a client is in again."""
    yield {"broker_restart_s": await measure_broker_restart(machine, population.organizations[0])}
    yield {"accounts_without_jetstream": accounts_without_jetstream(machine)}
    del given


PHASES = {
    "accounts": measure_accounts,
    "bridges": measure_bridges,
    "connections": measure_connections,
    "restart": measure_restart,
}
