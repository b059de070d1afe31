"""`artcafe bench` and `artcafe trace`: measure a running system as one of its clients."""

from typing import Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.async_runner import run
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, SeedFile
from artcafe_common.cli.pubsub import ClientId, IsChannel, NatsUrl, OverNats, WebSocketUrl

MeasuredName = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT",
        help="A subject, or with --channel a channel's id; by default a subject that nobody else uses.",
    ),
]


def bench(
    subject: MeasuredName = "",
    messages: Annotated[int, typer.Option(min=10, max=1_000_000, help="The number of messages.")] = 1000,
    size: Annotated[int, typer.Option(min=32, max=1_000_000, help="The size of a message in bytes.")] = 256,
    window: Annotated[
        int, typer.Option(min=1, max=1000, help="The number of messages that wait for their acknowledgement.")
    ] = 100,
    rate: Annotated[
        int, typer.Option(min=1, max=1000, help="Messages a second while latencies are measured.")
    ] = 100,
    seed_file: SeedFile = None,
    client: ClientId = "",
    nats_url: NatsUrl = "",
    ws: WebSocketUrl = "",
    *,
    channel: IsChannel = False,
    nats: OverNats = False,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Measure rates and latencies between two connections of a client; the messages count in the plan's quota."""
    from artcafe_client.errors import ArtcafeError
    from artcafe_common.cli.live_bench import Plan, measure
    from artcafe_common.cli.sdk_client import create_client, to_failure

    plan = Plan(
        name=subject, is_channel=channel, messages=messages, size=size, window=window, rate=rate
    ).checked()
    output.print_notice(f"publishing {plan.total} messages, which count in the plan's quota")
    try:
        publisher, subscriber = (
            create_client(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
            for _ in range(2)
        )
        result = run(measure(publisher, subscriber, plan))
    except ArtcafeError as error:
        raise to_failure(error) from None
    if as_json:
        output.print_json(result.document)
    else:
        output.print_table(result.rows, ("measure", "p50", "p95", "p99", "max"))
        output.print_fields(result.fields)
    if result.is_incomplete:
        raise Failure("messages were lost or doubled")


def trace(
    subject: MeasuredName = "",
    data: Annotated[str, typer.Option("--data", help="The message, as JSON or text.")] = "null",
    timeout: Annotated[float, typer.Option(min=0.1, max=300, help="Seconds to wait for each step.")] = 5,
    seed_file: SeedFile = None,
    client: ClientId = "",
    nats_url: NatsUrl = "",
    ws: WebSocketUrl = "",
    *,
    channel: IsChannel = False,
    nats: OverNats = False,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Publish a message with a trace of its own, and follow it: published, stored, delivered over each transport."""
    from artcafe_client.errors import ArtcafeError
    from artcafe_common.cli.message_trace import Target, Tracer
    from artcafe_common.cli.pubsub import encode_payload
    from artcafe_common.cli.sdk_client import create_client, to_failure

    def connect(*, over_nats: bool) -> Any:
        return create_client(seed_file, client, nats_url, ws, nats=over_nats, account=account, api=api)

    tracer = Tracer(Target.named(subject, is_channel=channel), encode_payload(data, text=False), timeout)
    try:
        steps = run(tracer.run(connect, over_nats=nats))
    except ArtcafeError as error:
        raise to_failure(error) from None
    if as_json:
        output.print_json({"trace_id": tracer.trace_id, "steps": steps})
    else:
        output.print_line(f"trace {tracer.trace_id}")
        output.print_table(steps, ("step", "transport", "after_ms", "detail"))
    if missing := [each for each in steps if each["after_ms"] is None]:
        raise Failure(", ".join(f"{each['step']} over {each['transport']}: no sign" for each in missing))
