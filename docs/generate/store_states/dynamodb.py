"""The answers while DynamoDB fails, or behaves as it does under load."""

from docs.generate.store_states import USUAL, Answer, RouteClass, StoreState, StoreTable

_UNAVAILABLE = Answer(status=503, code="store_unavailable", retry_after=True)
_CLOSED = Answer(status=1013, code="store_unavailable")
_ROUTES = (
    RouteClass(name="sign in", requests="`POST /auth/login`"),
    RouteClass(
        name="reads",
        requests="lists, single resources, the status of a client, the activity log, the profile, `GET /usage/current`",
    ),
    RouteClass(name="changes", requests="every `POST`, `PUT` and `DELETE` that no other class has, new keys"),
    RouteClass(
        name="known",
        requests=(
            "`POST /channels/{channel_id}/messages`, `GET /usage/metrics` and `GET /usage/local/stats`, while the"
            " member and the channel are known; otherwise as reads"
        ),
    ),
    RouteClass(name="messages", requests="publishing and delivery over connected WebSockets and direct NATS"),
    RouteClass(
        name="connections",
        requests="new connections of clients that are known, WebSocket and direct NATS",
    ),
    RouteClass(name="first connections", requests="new WebSockets of other clients"),
)
# What lasts longer than a call is repeated.
_LASTING = {
    "sign in": USUAL,
    "reads": _UNAVAILABLE,
    "changes": _UNAVAILABLE,
    "known": USUAL,
    "messages": USUAL,
    "connections": USUAL,
    "first connections": _CLOSED,
}
_REPEATED = {route.name: USUAL for route in _ROUTES}
_NO_ANSWER = "DynamoDB did not respond"
_THROTTLES = "DynamoDB throttles requests"

DYNAMODB = StoreTable(
    store="DynamoDB",
    routes=_ROUTES,
    states=(
        StoreState(
            name="away",
            cause="no network, no endpoint: connections are refused or reset",
            health=_NO_ANSWER,
            answers=_LASTING,
        ),
        StoreState(
            name="timeout",
            cause="it accepts connections and does not respond",
            health=_NO_ANSWER,
            answers=_LASTING,
        ),
        StoreState(
            name="throttled",
            cause="every call is above the throughput of its table, or of the account",
            health=_THROTTLES,
            answers=_LASTING,
        ),
        StoreState(
            name="errors", cause="every call fails with a 500", health="DynamoDB failed", answers=_LASTING
        ),
        StoreState(
            name="conflicts",
            cause="every write meets a transaction on its item",
            health="ok",
            answers=_LASTING | {"reads": USUAL, "first connections": USUAL},
        ),
        StoreState(
            name="some_throttled",
            cause="up to one of five calls is throttled",
            health="ok",
            answers=_REPEATED,
        ),
        StoreState(
            name="some_conflicts",
            cause="up to one of five writes meets a transaction on its item",
            health="ok",
            answers=_REPEATED,
        ),
        StoreState(
            name="lagging",
            cause="indexes and reads that are not consistent are seconds old",
            health="ok",
            answers=_REPEATED | {"reads": Answer(effect="lists are old")},
        ),
    ),
)
