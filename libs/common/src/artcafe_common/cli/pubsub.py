"""`artcafe pub` and `artcafe sub`: publish and subscribe as a client."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from artcafe_common.cli import output
from artcafe_common.cli.async_runner import run
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, SeedFile

if TYPE_CHECKING:
    from artcafe_client import Client

MAX_DATA_BYTES = 1024 * 1024
MAX_LAST = 200

SubjectName = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="A subject, or with --channel a channel's id.")
]
IsChannel = Annotated[bool, typer.Option("--channel", help="SUBJECT is a channel's id.")]
OverNats = Annotated[bool, typer.Option("--nats", help="Use direct NATS instead of WebSocket.")]
NatsUrl = Annotated[
    str, typer.Option("--nats-url", envvar="ARTCAFE_NATS_URL", metavar="URL", help="The broker's URL.")
]
WebSocketUrl = Annotated[
    str,
    typer.Option(
        "--ws", envvar="ARTCAFE_WS", metavar="URL", help="The WebSocket URL, if it is not the API's."
    ),
]
ClientId = Annotated[
    str,
    typer.Option(
        "--client",
        envvar="ARTCAFE_CLIENT",
        metavar="ID",
        help="The client's id; by default it is looked up by its key.",
    ),
]


def pub(
    subject: SubjectName,
    data: Annotated[str, typer.Argument(help="JSON or text; - reads standard input.")] = "-",
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Publish the message N times.")] = 1,
    seed_file: SeedFile = None,
    client: ClientId = "",
    nats_url: NatsUrl = "",
    ws: WebSocketUrl = "",
    *,
    channel: IsChannel = False,
    text: Annotated[
        bool, typer.Option("--text", help="Send DATA as text, even if it is valid JSON.")
    ] = False,
    nats: OverNats = False,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Publish a message and wait until the broker has received it."""
    from artcafe_client.errors import ArtcafeError
    from artcafe_common.cli.sdk_client import create_client, to_failure

    payload = encode_payload(_read_data(data), text=text)
    try:
        publisher = create_client(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
        run(_publish(publisher, subject, payload, count, is_channel=channel, each=channel or not nats))
    except ArtcafeError as error:
        raise to_failure(error) from None
    if as_json:
        output.print_json(
            {
                "published": count,
                "channel" if channel else "subject": subject,
                "transport": "nats" if nats else "websocket",
            }
        )
    else:
        output.print_line(f"published {count} to {subject}")


def sub(
    subject: SubjectName,
    count: Annotated[int, typer.Option(min=0, help="Exit after N messages; 0 means no limit.")] = 0,
    timeout: Annotated[float, typer.Option(min=0, help="Exit after N seconds; 0 means no limit.")] = 0,
    last: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_LAST,
            help="Start with the channel's last N stored messages, and recover messages after a reconnect.",
        ),
    ] = None,
    queue: Annotated[
        str,
        typer.Option(
            "--queue", metavar="NAME", help="Share the messages with the others of this queue group."
        ),
    ] = "",
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
    """Print messages as they arrive, until Ctrl-C."""
    from artcafe_client.errors import ArtcafeError
    from artcafe_common.cli.sdk_client import create_client, to_failure

    if last is not None and not channel:
        raise Failure("--last needs --channel and a channel's id", ExitCode.USAGE)
    if last is not None and queue:
        raise Failure("a queue group has no history: give --last or --queue", ExitCode.USAGE)
    try:
        subscriber = create_client(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
        source = _Source(subject, channel, queue or None, last)
        run(_print_messages(subscriber, source, count, timeout, as_json=as_json))
    except ArtcafeError as error:
        raise to_failure(error) from None


class _Source(NamedTuple):
    """What `sub` subscribes to."""

    name: str
    is_channel: bool
    queue: str | None
    last: int | None


async def _publish(
    client: "Client", name: str, payload: bytes, count: int, *, is_channel: bool, each: bool
) -> None:
    """Publish a message `count` times; confirmed are the first, which shows what is forbidden, the last, or `each`."""
    import msgspec

    # The data is sent as it is, so that JSON numbers keep every digit.
    data = msgspec.Raw(payload)
    published = 0
    async with client:
        try:
            while published < count:
                if is_channel:
                    await client.channel(name).publish(data)
                else:
                    confirm = each or published in (0, count - 1)
                    await client.publish(name, data, confirm=confirm)
                published += 1
        finally:
            if 0 < published < count:
                output.print_notice(f"{published} of {count} messages were published")


async def _print_messages(
    client: "Client", source: _Source, count: int, timeout_s: float, *, as_json: bool
) -> None:
    from artcafe_common.cli.message_printer import MessagePrinter

    printer = MessagePrinter(client, source.name, count=count, as_json=as_json)
    try:
        await client.open()
        if source.is_channel:
            subscription = client.channel(source.name).subscribe(last=source.last, queue=source.queue)
        else:
            subscription = client.subscribe(source.name, queue=source.queue)
        await printer.run(subscription, timeout_s)
    finally:
        await client.close()


def _read_data(data: str) -> str:
    if data != "-":
        return data
    if sys.stdin.isatty():
        output.print_notice("reading the message from standard input; Ctrl-D ends it")
    raw = sys.stdin.buffer.read(MAX_DATA_BYTES + 1)
    if len(raw) > MAX_DATA_BYTES:
        raise Failure("a message must not exceed 1 MiB", ExitCode.USAGE)
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Failure("a message must be JSON or text in UTF-8", ExitCode.USAGE) from None


def encode_payload(data: str, *, text: bool) -> bytes:
    """The JSON text of what a user has typed: JSON as it is, other text as a string. Failure if it is not UTF-8."""
    import msgspec

    if not text:
        with suppress(msgspec.DecodeError, RecursionError):
            msgspec.json.decode(data)
            return data.encode()
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        raise Failure("a message must be JSON or text in UTF-8", ExitCode.USAGE) from None
