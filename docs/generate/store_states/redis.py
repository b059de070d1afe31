"""The answers while Redis fails."""

from artcafe_common.storage.redis_errors import DETAILS, REFUSING_WRITES, RedisState
from docs.generate.store_states import USUAL, Answer, RouteClass, StoreState, StoreTable

_UNAVAILABLE = Answer(status=503, code="store_unavailable", retry_after=True)
_ROUTES = (
    RouteClass(name="sign in", requests="`POST /auth/login`"),
    RouteClass(name="calls", requests="all that no other class has: lists, single resources, changes"),
    RouteClass(
        name="messages",
        requests="publishing and delivery over REST, WebSocket and direct NATS, new connections",
    ),
    RouteClass(name="new keys", requests="`POST /clients`, `regenerate-nkey`, `generate-nkey`"),
    RouteClass(name="idempotent", requests="every `POST` with an `Idempotency-Key`"),
    RouteClass(name="usage", requests="`GET /usage/…`"),
    RouteClass(name="presence", requests="`GET /clients/{client_id}/status`"),
)
_CAUSES = {
    RedisState.AWAY: "stopped, killed, or cut off",
    RedisState.TIMEOUT: "hung, or the host is overloaded",
    RedisState.LOADING: "restarted, and reads its files",
    RedisState.BUSY: "a script, of somebody else's, runs for longer than `busy-reply-threshold`",
    RedisState.NO_PRIMARY: "a replica that has lost its primary, with `replica-serve-stale-data no`",
    RedisState.NO_SCRIPT: "`SCRIPT FLUSH`, a restart or a failover",
    RedisState.READ_ONLY: "a replica: a failover that the address has not followed",
    RedisState.OUT_OF_MEMORY: "`maxmemory` is reached with the policy `noeviction`",
    RedisState.DISK_FAILED: "a snapshot or the append-only file could not be written",
    RedisState.NO_REPLICAS: "fewer replicas than `min-replicas-to-write`",
}


def _answers(state: RedisState) -> dict[str, Answer]:
    if state is RedisState.NO_SCRIPT:
        return {route.name: USUAL for route in _ROUTES}
    reads = USUAL if state in REFUSING_WRITES else _UNAVAILABLE
    return {
        "sign in": Answer(effect="not limited"),
        "calls": Answer(effect="not limited"),
        "messages": Answer(effect="counted later"),
        "new keys": _UNAVAILABLE,
        "idempotent": _UNAVAILABLE,
        "usage": reads,
        "presence": reads,
    }


REDIS = StoreTable(
    store="Redis",
    routes=_ROUTES,
    states=tuple(
        StoreState(
            name=state,
            cause=cause,
            health="ok" if state is RedisState.NO_SCRIPT else DETAILS[state],
            answers=_answers(state),
        )
        for state, cause in _CAUSES.items()
    ),
)
