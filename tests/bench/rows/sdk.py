"""The Python SDK next to bare nats-py: the same messages from one connection to another, in turn in one process."""

from bench.result import Result, describe_losses, median_run

MESSAGES = 60_000
WEBSOCKET_MESSAGES = 15_000


async def run(environment):
    count = MESSAGES // 3 if environment.quick else MESSAGES
    common = {"tenant_id": environment.tenant.id, "agents": environment.tenant.agents[:2]}
    ours, bare, websocket = [], [], []
    for _ in range(environment.repeats):
        publisher = environment.publisher
        bare.append(await publisher.run("send_with_nats_py", url=environment.nats_url, count=count, **common))
        ours.append(await publisher.run("send_with_sdk", url=environment.nats_url, count=count, **common))
        websocket.append(
            await publisher.run(
                "send_with_sdk", url=environment.url("gateway"), count=WEBSOCKET_MESSAGES, **common
            )
        )
    yield Result(
        row="sdk",
        what="Python SDK over NATS, one publisher, one subscriber",
        unit="messages/s",
        ours=median_run(ours)["value"],
        reference=median_run(bare)["value"],
        of="bare nats-py",
        note=describe_losses(ours, bare),
        runs=[ours, bare],
    )
    yield Result(
        row="sdk",
        what="the same over WebSocket",
        unit="messages/s",
        ours=median_run(websocket)["value"],
        note=describe_losses(websocket),
        runs=[websocket],
    )
