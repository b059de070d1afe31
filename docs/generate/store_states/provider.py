"""The answers while the OpenID provider fails or refuses."""

from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.users import ProviderUnavailable
from artcafe_identity.provider_states import PROVIDER_STATES, ProviderState
from docs.generate.store_states import USUAL, Answer, RouteClass, StoreState, StoreTable

_ROUTES = (
    RouteClass(name="sign in", requests="`POST /auth/login`"),
    RouteClass(name="refresh", requests="`POST /auth/refresh`"),
    RouteClass(
        name="known key", requests="all requests with a valid token, once the provider's keys are known"
    ),
    RouteClass(name="first key", requests="the same after identity has started, before it knows a key"),
)


def _answer(error: type[CommandError] | None) -> Answer:
    if error is None:
        return USUAL
    return Answer(status=error.status, code=error.code, retry_after=error.default_retry_after_s is not None)


def _answers(state: ProviderState) -> dict[str, Answer]:
    answers = (state.login, state.refresh, state.known, state.first)
    return {route.name: _answer(answer) for route, answer in zip(_ROUTES, answers, strict=True)}


PROVIDER = StoreTable(
    store="The identity provider",
    routes=_ROUTES,
    states=tuple(
        StoreState(
            name=state.name,
            cause=state.cause,
            health="ok once a key is known" if state.first is ProviderUnavailable else "ok",
            answers=_answers(state),
        )
        for state in PROVIDER_STATES
    ),
)
