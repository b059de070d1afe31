"""The JetStream API as clients see it: of the platform's streams under the domain PLATFORM, and of their own.

A tenant's streams are in accounts without clients. Messages are read there directly; every other call goes through
identity, which checks and limits it: a stream or consumer could otherwise end the broker, or deliver messages where
only the platform publishes.
"""

import msgspec

from artcafe_common.contracts.ingest import CLIENT_KIND, decode_request_info

PLATFORM_DOMAIN = "PLATFORM"
# A NATS client with `domain="PLATFORM"` calls the API with this prefix.
PLATFORM_API_PREFIX = f"$JS.{PLATFORM_DOMAIN}.API"
# And with this one without a domain: the API of the streams that clients keep themselves.
OWN_API_PREFIX = "$JS.API"
# Calls that the broker answers itself; they are cheap.
DIRECT_API_SUBJECTS = ("DIRECT.GET.*", "DIRECT.GET.*.>", "CONSUMER.MSG.NEXT.*.*")
# Calls that identity forwards.
CHECKED_API_SUBJECTS = (
    "INFO",
    "STREAM.INFO.*",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.MSG.GET.*",
    "CONSUMER.CREATE.*",
    "CONSUMER.CREATE.*.>",
    "CONSUMER.DURABLE.CREATE.*.*",
    "CONSUMER.INFO.*.*",
    "CONSUMER.NAMES.*",
    "CONSUMER.LIST.*",
    "CONSUMER.DELETE.*.*",
)
# And of the streams that clients keep themselves.
OWN_CHECKED_API_SUBJECTS = (
    *CHECKED_API_SUBJECTS,
    "STREAM.CREATE.*",
    "STREAM.UPDATE.*",
    "STREAM.DELETE.*",
    "STREAM.PURGE.*",
    "STREAM.MSG.DELETE.*",
    "CONSUMER.PAUSE.*.*",
    "CONSUMER.UNPIN.*.*",
)
STREAM_API_ROOT = "artcafe.streams"
# The token that precedes a call about a tenant's own streams; no call of the API begins with it.
_OWN = "OWN"


def stream_api_subject(account: str, call: str) -> str:
    """`artcafe.streams.{account}.{call}`, the subject of a call in the platform's account."""
    return f"{STREAM_API_ROOT}.{account}.{call}"


def own_stream_api_subject(account: str, call: str) -> str:
    """`artcafe.streams.{account}.OWN.{call}`, as `stream_api_subject` for streams that clients keep themselves."""
    return stream_api_subject(account, f"{_OWN}.{call}")


class StreamApiCall(msgspec.Struct, frozen=True, kw_only=True):
    """A client's call: its account and connection, as the broker attests them, and the call.

    With `own` it is about streams that clients keep themselves, otherwise about the platform's.
    """

    account: str
    client: str
    call: str
    own: bool


def verify_call(subject: str, headers: dict[str, str]) -> StreamApiCall | None:
    """The call of a message; None unless the broker attests that a client of that account sent it."""
    root, _, rest = subject.partition(f"{STREAM_API_ROOT}.")
    account, _, call = rest.partition(".")
    sender = decode_request_info(headers)
    if root or not call or sender is None or sender.acc != account or sender.kind != CLIENT_KIND:
        return None
    own = call.startswith(f"{_OWN}.")
    return StreamApiCall(
        account=account,
        client=f"{sender.server} {sender.id}",
        call=call.removeprefix(f"{_OWN}.") if own else call,
        own=own,
    )
