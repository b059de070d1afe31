"""`artcafe pub` and `artcafe sub`: a client of the service for the command line."""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artcafe_common.cli import output
from artcafe_common.cli.async_runner import run
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.options import AccountId, ApiUrl, AsJson, SeedFile

if TYPE_CHECKING:
    from artcafe_common.broker.nkeys import KeyPair
    from artcafe_common.cli.session import Session
    from artcafe_common.cli.transport import Subject, Transport

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
MAX_DATA = 1024 * 1024
MAX_LAST = 200
# A message that is both in the history and live bears two clocks' times.
SAME_MESSAGE = timedelta(seconds=2)

SubjectName = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="A subject, or with --channel a channel's id.")
]
IsChannel = Annotated[bool, typer.Option("--channel", help="SUBJECT is a channel's id.")]
OverNats = Annotated[bool, typer.Option("--nats", help="Straight over NATS, not over WebSocket.")]
NatsUrl = Annotated[
    str, typer.Option("--nats-url", envvar="ARTCAFE_NATS_URL", metavar="URL", help="Where the broker is.")
]
WebSocketUrl = Annotated[
    str,
    typer.Option("--ws", envvar="ARTCAFE_WS", metavar="URL", help="Where WebSockets are, if not at the API."),
]
ClientId = Annotated[
    str,
    typer.Option(
        "--client",
        envvar="ARTCAFE_CLIENT",
        metavar="ID",
        help="The client's id; by default looked up by its key.",
    ),
]


def pub(
    subject: SubjectName,
    data: Annotated[str, typer.Argument(help="JSON or text; without, or with -, standard input.")] = "-",
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Send it so many times.")] = 1,
    seed_file: SeedFile = None,
    client: ClientId = "",
    nats_url: NatsUrl = "",
    ws: WebSocketUrl = "",
    *,
    channel: IsChannel = False,
    text: Annotated[bool, typer.Option("--text", help="Text, even if it reads as JSON.")] = False,
    nats: OverNats = False,
    account: AccountId = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Publish a message, and wait until the broker has it."""
    from artcafe_common.cli.transport import Lost, Subject

    payload = _payload(data, text=text)
    way = _way(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
    try:
        run(way.publish(Subject(subject, channel), payload, count))
    except Lost as error:
        raise error.final() from None
    if as_json:
        output.as_json(
            {
                "published": count,
                "channel" if channel else "subject": subject,
                "transport": "nats" if nats else "websocket",
            }
        )
    else:
        output.line(f"published {count} to {subject}")


def sub(
    subject: SubjectName,
    count: Annotated[int, typer.Option(min=0, help="End after so many messages; 0 is never.")] = 0,
    timeout: Annotated[float, typer.Option(min=0, help="End after so many seconds; 0 is never.")] = 0,
    last: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_LAST, help="Begin with the last messages that the channel kept, and miss none."
        ),
    ] = None,
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
    """Print messages as they come, until Ctrl-C."""
    from artcafe_common.cli.transport import Subject

    if last is not None and not channel:
        raise Failure("--last reads what a channel kept: give a channel's id and --channel", ExitCode.USAGE)
    way = _way(seed_file, client, nats_url, ws, nats=nats, account=account, api=api)
    listening = Listening(Subject(subject, channel), count, as_json=as_json)
    if last is not None and not nats:
        listening.begin = {"last": last}
    elif last:
        listening.history = lambda: _kept(subject, last, account=account, api=api)
    run(listening.run(way, timeout))


class Listening:
    """What was asked for, over however many connections it takes."""

    def __init__(self, subject: "Subject", count: int, *, as_json: bool) -> None:
        self._subject = subject
        self._count = count
        self._as_json = as_json
        self._seen = 0
        self._connected = False
        self._kept: list[dict[str, Any]] = []
        self.pause = FIRST_PAUSE_S
        self.begin: dict[str, int] = {}
        self.history: Callable[[], list[dict[str, Any]]] | None = None

    async def run(self, way: "Transport", timeout_s: float) -> None:
        """Return when enough came; Failure when it did not come in time, or nobody is there."""
        from artcafe_common.cli.transport import Enough

        try:
            async with asyncio.timeout(timeout_s or None):
                with suppress(Enough):
                    await self._keep_listening(way)
        except TimeoutError:
            if self._count:
                raise Failure(f"{self._seen} of {self._count} messages came in {timeout_s:g} s") from None

    async def _keep_listening(self, way: "Transport") -> None:
        from artcafe_common.cli.transport import Lost

        while True:
            try:
                await way.listen(self._subject, self.begin, self._begin, self._take)
            except Lost as error:
                if not self._connected and not error.retry_after_s:
                    raise error.final() from None
                wait = max(error.retry_after_s, self.pause * random.uniform(0.5, 1.0))
                output.say(f"{error}; again in {wait:.1f} s")
                self.pause = min(self.pause * 2, MAX_PAUSE_S)
                await asyncio.sleep(wait)

    async def _begin(self) -> None:
        self._connected = True
        self.pause = FIRST_PAUSE_S
        output.say(f"listening on {self._subject.text}")
        if self.history is not None:
            # What comes meanwhile waits in the connection, and is behind the history.
            history, self.history = self.history, None
            kept = await asyncio.to_thread(history)
            for message in kept:
                self._put(message)
            self._kept = kept

    def _take(self, message: dict[str, Any]) -> None:
        for number, known in enumerate(self._kept):
            if _same(known, message):
                del self._kept[number]
                return
        self._put(message)

    def _put(self, message: dict[str, Any]) -> None:
        from artcafe_common.cli.transport import Enough

        try:
            self._print(message)
        except BrokenPipeError:
            # Whoever read us has seen enough (`| head`), and it is not our connection that broke.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Enough from None
        if self.begin and "seq" in message:
            # After a broken connection it goes on here.
            self.begin = {"since": message["seq"] + 1}
        self._seen += 1
        if self._seen == self._count:
            raise Enough

    def _print(self, message: dict[str, Any]) -> None:
        if self._as_json:
            output.as_json(message)
            return
        sender = f" from {message['from']}" if "from" in message else ""
        text = _readable(message["data"])
        # Over NATS nobody tells the time but this machine.
        at = _time(message).isoformat().replace("+00:00", "Z")
        output.line(f"[{at}] {message['subject']}{sender}: {text}")


def _same(kept: dict[str, Any], live: dict[str, Any]) -> bool:
    if kept["data"] != live["data"] or kept.get("from") != live.get("from"):
        return False
    return abs(_time(kept) - _time(live)) < SAME_MESSAGE


def _time(message: dict[str, Any]) -> datetime:
    at = message["timestamp"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)


def _readable(data: Any) -> str:
    import msgspec

    return data if isinstance(data, str) else msgspec.json.encode(data).decode()


def _kept(channel_id: str, last: int, *, account: str, api: str | None) -> list[dict[str, Any]]:
    from artcafe_common.cli.user_commands import in_path, signed_in

    with signed_in(api, account) as called:
        path = f"/channels/{in_path(channel_id)}/messages"
        page = called.call("GET", path, params={"last": last, "limit": last})
        messages: list[dict[str, Any]] = page["messages"]
        while page["next_cursor"]:  # a page is bounded in bytes, too
            page = called.call("GET", path, params={"cursor": page["next_cursor"], "limit": last})
            messages += page["messages"]
        return messages[-last:]


def _payload(data: str, *, text: bool) -> bytes:
    import msgspec

    if data == "-":
        if sys.stdin.isatty():
            output.say("reading the message from standard input; Ctrl-D ends it")
        raw = sys.stdin.buffer.read(MAX_DATA + 1)
        if len(raw) > MAX_DATA:
            raise Failure("a message has at most 1 MiB", ExitCode.USAGE)
        try:
            # The line's end is the shell's.
            data = raw.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise Failure("a message is text or JSON, in UTF-8", ExitCode.USAGE) from None
    if not text:
        with suppress(msgspec.DecodeError, RecursionError):
            msgspec.json.decode(data)
            return data.encode()
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        raise Failure("a message is text or JSON, in UTF-8", ExitCode.USAGE) from None


# -- who, and where --------------------------------------------------------------------------------


def _way(
    seed_file: Path | None,
    client_id: str,
    nats_url: str,
    ws: str,
    *,
    nats: bool,
    account: str,
    api: str | None,
) -> "Transport":
    from artcafe_common.cli import session as sessions

    session = sessions.known(api) or sessions.Session(api="")
    dev = sessions.development()
    if dev is None or dev.api != session.api:
        dev = None
    key, own_client = _key(seed_file, dev)
    if nats:
        from artcafe_common.cli.nats_transport import Direct

        url = nats_url or session.nats_url or (dev.nats_url if dev else "")
        tenant_id = account or (dev.tenant_id if dev and own_client else session.tenant_id)
        if not url:
            raise Failure("where is the broker? Give --nats-url or ARTCAFE_NATS_URL", ExitCode.USAGE)
        if not tenant_id:
            raise Failure("which organization? Give --account or ARTCAFE_TENANT", ExitCode.USAGE)
        return Direct(url, tenant_id, key)
    from artcafe_common.cli.websocket_transport import WebSocket

    root = ws or session.websocket_url or (dev.websocket_url if dev else "")
    if not root:
        # WebSockets are below the API as well.
        root = "ws" + sessions.find(api).api.removeprefix("http")
    return WebSocket(root.rstrip("/"), client_id or own_client or _client_of(key, session, account), key)


def _key(seed_file: Path | None, dev: "Session | None") -> "tuple[KeyPair, str]":
    """The key to sign with, and its client's id where it is known."""
    from artcafe_common.broker.nkeys import InvalidNKeyError, KeyPair

    given = os.environ.get("ARTCAFE_SEED", "")
    client_id = ""
    try:
        if seed_file is not None:
            seed = seed_file.read_text().strip()
        elif given:
            seed = given.strip()
        elif dev is not None:
            seed, client_id = dev.seed, dev.client_id
        else:
            raise Failure("whose key? Give --seed-file or ARTCAFE_SEED", ExitCode.USAGE)
        return KeyPair(seed), client_id
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"cannot read {seed_file}: {getattr(error, 'strerror', 'no text')}", ExitCode.USAGE
        ) from None
    except InvalidNKeyError:
        raise Failure("the seed is not valid: it is one line that begins with SU", ExitCode.USAGE) from None


def _client_of(key: "KeyPair", session: "Session", account: str) -> str:
    """The id of the client that has a key."""
    from artcafe_common.cli.api import Api

    if not session.access_token:
        raise Failure("which client? Give --client or ARTCAFE_CLIENT, or sign in", ExitCode.USAGE)
    with Api(session, tenant_id=account) as called:
        cursor = None
        while True:
            page = called.call("GET", "/clients", params={"limit": 200, "cursor": cursor})
            for each in page["clients"]:
                if each["nkey_public"] == key.public:
                    return str(each["client_id"])
            cursor = page["next_cursor"]
            if cursor is None:
                raise Failure("no client of the organization has this key", ExitCode.NOT_FOUND)
