"""Makes clients."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from artcafe_client.client import Client
from artcafe_client.dialer import Dialer
from artcafe_client.error_factory import log_error
from artcafe_client.errors import ArtcafeError
from artcafe_client.settings import Options, TransportName, find_settings
from artcafe_client.states import State


def connect(
    url: "str | None" = None,
    *,
    seed: "str | None" = None,
    client_id: "str | None" = None,
    tenant_id: "str | None" = None,
    connection: "Mapping[str, Any] | None" = None,
    transport: TransportName = "auto",
    on_state: "Callable[[State], None] | None" = None,
    on_error: "Callable[[ArtcafeError], None] | None" = None,
    options: Options | None = None,
    **changes: Any,
) -> Client:
    """Make a client, to be used in `async with`.

    `seed` is the client's key, `client_id` its id. `url` is a WebSocket's (`wss://`, or the API's `https://`) or the broker's
    (`nats://`, with `tenant_id`); `connection` is the object of that name in the answer that created the client, and has
    both. Without them, `ARTCAFE_WS`, `ARTCAFE_NATS_URL`, `ARTCAFE_TENANT`, `ARTCAFE_CLIENT` and `ARTCAFE_SEED` count, or a
    development stack of this directory. `transport` is `nats`, `websocket`, or `auto`: NATS if the broker can be reached
    within three seconds, else WebSocket; `client.transport` says which. `on_state` is called with each state, `on_error` with
    what the server says outside of any call. Further keywords are fields of `Options`. ConfigurationError.
    """
    settings = find_settings(
        url=url,
        seed=seed,
        client_id=client_id,
        tenant_id=tenant_id,
        connection=connection,
        transport=transport,
    )
    options = msgspec.structs.replace(options or Options(), **changes)
    dialer = Dialer(settings, options, on_error or log_error)
    return Client(dialer.dial, options, on_state=on_state)
