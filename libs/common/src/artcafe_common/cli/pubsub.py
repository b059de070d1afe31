"""`artcafe pub` and `artcafe sub`: publish and subscribe as a client."""

import sys
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from artcafe_common.cli import output
from artcafe_common.cli.async_runner import run
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, SeedFile

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
    from artcafe_common.cli.client_transport import create_transport
    from artcafe_common.cli.transport import ConnectionLost, Subject

    payload = _encode_payload(_read_data(data), text=text)
    transport = create_transport(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
    try:
        run(transport.publish(Subject(subject, channel), payload, count))
    except ConnectionLost as error:
        raise error.to_failure() from None
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
    from artcafe_common.cli.client_transport import create_transport
    from artcafe_common.cli.message_printer import MessagePrinter, fetch_history
    from artcafe_common.cli.transport import Subject

    if last is not None and not channel:
        raise Failure("--last needs --channel and a channel's id", ExitCode.USAGE)
    if last is not None and queue:
        raise Failure("a queue group has no history: give --last or --queue", ExitCode.USAGE)
    transport = create_transport(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
    printer = MessagePrinter(
        transport,
        Subject(subject, channel),
        count=count,
        as_json=as_json,
        replay={"last": last} if last is not None and not nats else None,
        queue=queue,
        load_history=partial(fetch_history, subject, last, account=account, api=api)
        if last and nats
        else None,
    )
    run(printer.run(timeout))


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


def _encode_payload(data: str, *, text: bool) -> bytes:
    import msgspec

    if not text:
        with suppress(msgspec.DecodeError, RecursionError):
            msgspec.json.decode(data)
            return data.encode()
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        raise Failure("a message must be JSON or text in UTF-8", ExitCode.USAGE) from None
