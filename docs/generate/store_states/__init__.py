"""What the API answers while a store fails: the tables on docs/operate/outages.md, from which the tests are generated.

Each store has a module with its table. A test brings about each state, sends the requests of each class of routes,
and compares the answers with the table.
"""

from collections.abc import Iterator

import msgspec

from docs.generate.markdown import code
from docs.generate.markdown import table as markdown_table


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a request gets: the usual answer, or the error `code`; `effect` says what differs nevertheless."""

    status: int | None = None
    code: str = ""
    retry_after: bool = False
    effect: str = ""

    @property
    def is_usual(self) -> bool:
        """Whether the request succeeds as it does without the fault."""
        return self.status is None


class RouteClass(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that need the same of a store."""

    name: str
    requests: str


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a store, what causes it, what `/health` says, and the answers by the name of the route class."""

    name: str
    cause: str
    health: str
    answers: dict[str, Answer]


class StoreTable(msgspec.Struct, frozen=True, kw_only=True):
    """One store: every state has an answer for every class of routes."""

    store: str
    routes: tuple[RouteClass, ...]
    states: tuple[StoreState, ...]

    def __post_init__(self) -> None:
        names = {route.name for route in self.routes}
        for state in self.states:
            if state.answers.keys() != names:
                raise ValueError(f"{self.store}, {state.name}: {sorted(state.answers.keys() ^ names)}")

    def cases(self) -> Iterator[tuple[StoreState, RouteClass, Answer]]:
        """Each state with each class of routes and its answer."""
        for state in self.states:
            for route in self.routes:
                yield state, route, state.answers[route.name]

    def render(self) -> str:
        """The classes of routes, the states, and the answers."""
        routes = markdown_table(("requests", "which"), [(each.name, each.requests) for each in self.routes])
        states = markdown_table(
            ("state", "cause", "`/health` says"),
            [(code(each.name), each.cause, each.health) for each in self.states],
        )
        names = [route.name for route in self.routes]
        answers = markdown_table(
            ("state", *names),
            [(code(each.name), *(_cell(each.answers[name]) for name in names)) for each in self.states],
        )
        return f"{routes}\n\n{states}\n\n{answers}"


USUAL = Answer()


def _cell(answer: Answer) -> str:
    text = "as usual" if answer.is_usual else f"{answer.status} {code(answer.code)}"
    text += ", `Retry-After`" if answer.retry_after else ""
    return f"{text}; {answer.effect}" if answer.effect else text
