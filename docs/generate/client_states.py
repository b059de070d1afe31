"""The behaviour of the Python SDK's connection, from its table."""

from artcafe_client.states import ACTIONS, EVENTS, PUBLISHING, TRANSITIONS, Event, State
from docs.generate.markdown import code, table


def behaviour() -> str:
    """The events, what each does in each state, and what publishing does there."""
    events = table(("event", "when"), ((code(event.value), text) for event, text in EVENTS.items()))
    header = ("state", *(code(event.value) for event in Event))
    rows = [(code(state.value), *(_cell(state, event) for event in Event)) for state in State]
    transitions = table(header, rows)
    actions = table(
        ("action", "what the client does"), ((code(each.value), text) for each, text in ACTIONS.items())
    )
    publishing = table(
        ("state", "a publish or request"), ((code(state.value), text) for state, text in PUBLISHING.items())
    )
    return f"{events}\n\n{transitions}\n\n{actions}\n\n{publishing}"


def _cell(state: State, event: Event) -> str:
    transition = TRANSITIONS[state].get(event)
    if transition is None:
        return ""
    actions = ", ".join(code(action.value) for action in transition.actions)
    return f"**{transition.to.value}**: {actions}" if actions else f"**{transition.to.value}**"
