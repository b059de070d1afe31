"""The stream that stores events."""

import structlog
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import APIError

from artcafe_common.bus.stream_replicas import choose_replicas, replicas_metadata

EVENTS_STREAM = "EVENTS"
EVENTS_SUBJECT = "artcafe.events.>"
EVENTS_MAX_AGE_S = 7 * 24 * 3600
EVENTS_MAX_BYTES = 1 << 30
DUPLICATE_WINDOW_S = 120
# The JetStream API's error code for a stream that exists with another configuration.
_NAME_IN_USE = 10058
# What an operator may change: it is left alone.
_SIZES = ("max_age", "max_bytes")

log = structlog.get_logger()


def events_stream_config(replicas: int) -> StreamConfig:
    """The stream's configuration."""
    return StreamConfig(
        name=EVENTS_STREAM,
        subjects=[EVENTS_SUBJECT],
        max_age=EVENTS_MAX_AGE_S,
        max_bytes=EVENTS_MAX_BYTES,
        discard=DiscardPolicy.OLD,
        duplicate_window=DUPLICATE_WINDOW_S,
        num_replicas=replicas,
        metadata=replicas_metadata(replicas),
    )


async def create_events_stream(js: JetStreamContext, replicas: int) -> None:
    """Create the stream, unless there is one, whatever its configuration."""
    try:
        await js.add_stream(events_stream_config(replicas))
    except APIError as error:
        if error.err_code != _NAME_IN_USE:
            raise


async def align_events_stream(js: JetStreamContext, replicas: int) -> None:
    """Give the stream the subjects and replicas that it should have; log what an operator changed."""
    current = (await js.stream_info(EVENTS_STREAM)).config
    wanted = events_stream_config(replicas)
    chosen = choose_replicas(current.num_replicas or 1, current.metadata, replicas)
    if chosen != current.num_replicas or current.subjects != wanted.subjects:
        log.info("events_stream_updated", replicas=chosen, replicas_before=current.num_replicas)
        current.subjects, current.num_replicas = wanted.subjects, chosen
        current.metadata = {**(current.metadata or {}), **replicas_metadata(replicas)}
        await js.update_stream(current)
    changed = {
        name: getattr(current, name) for name in _SIZES if getattr(current, name) != getattr(wanted, name)
    }
    if chosen != replicas:
        changed["num_replicas"] = chosen
    if changed:
        log.info("events_stream_differs", **changed)
