"""The states of a connection, and what each event does in each state.

`TRANSITIONS` is the whole behaviour: the client follows it, its tests are generated from it, and so is the table in the
documentation.
"""

from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """The state of a client's connection."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DRAINING = "draining"
    CLOSED = "closed"


class Event(str, Enum):
    """What happens to a connection."""

    OPEN = "open"
    WELCOME = "welcome"
    LOST = "lost"
    RETRY_LATER = "retry_later"
    REFUSED = "refused"
    DRAIN = "drain"
    CLOSE = "close"


class Action(str, Enum):
    """What the client does, in this order, when it goes from one state to another."""

    DIAL = "dial"
    RESUME = "resume"
    FAIL_PENDING = "fail_pending"
    BACK_OFF = "back_off"
    WAIT_AS_TOLD = "wait_as_told"
    STOP_RECEIVING = "stop_receiving"
    HANG_UP = "hang_up"
    END = "end"


class Transition(NamedTuple):
    """The state that follows, and the actions on the way."""

    to: State
    actions: tuple[Action, ...] = ()


EVENTS = {
    Event.OPEN: "the client is opened, or the delay before the next attempt is over",
    Event.WELCOME: "the server has accepted the client's key",
    Event.LOST: "the attempt failed or the connection broke, for a reason that can pass; also the close codes 1002, "
    "1007, 1009 and 4408",
    Event.RETRY_LATER: "the server named a delay: `retry_after_ms` before the close codes 1012 and 1013, or in an error",
    Event.REFUSED: "the key is not valid or was revoked: the close codes 4401 and 4403, or the broker's refusal",
    Event.DRAIN: "`drain()` is called",
    Event.CLOSE: "`close()` is called, or draining is done",
}

ACTIONS = {
    Action.DIAL: "open a connection and answer its challenge",
    Action.RESUME: "subscribe again, channels from the message after the last one; report presence; release what waits in "
    "the offline buffer; start heartbeats",
    Action.FAIL_PENDING: "publishes and requests without an answer fail with `PublishUncertain` and `ConnectionLost`; "
    "with an offline buffer, publishes wait for the next connection instead",
    Action.BACK_OFF: "wait a random time between 0 and the back-off, which doubles with each attempt (full jitter)",
    Action.WAIT_AS_TOLD: "wait exactly as long as the server said",
    Action.STOP_RECEIVING: "end the subscriptions, hand out what they hold, wait for handlers and acknowledgements",
    Action.HANG_UP: "close the connection",
    Action.END: "end every subscription and every wait; with an error if the key was refused",
}

_LOST = (Action.FAIL_PENDING, Action.HANG_UP, Action.BACK_OFF)
_LATER = (Action.FAIL_PENDING, Action.HANG_UP, Action.WAIT_AS_TOLD)
_END = (Action.FAIL_PENDING, Action.HANG_UP, Action.END)

# An event that is not listed for a state has no effect there.
TRANSITIONS: dict[State, dict[Event, Transition]] = {
    State.DISCONNECTED: {
        Event.OPEN: Transition(State.CONNECTING, (Action.DIAL,)),
        Event.DRAIN: Transition(State.CLOSED, _END),
        Event.CLOSE: Transition(State.CLOSED, _END),
    },
    State.CONNECTING: {
        Event.WELCOME: Transition(State.CONNECTED, (Action.RESUME,)),
        Event.LOST: Transition(State.DISCONNECTED, _LOST),
        Event.RETRY_LATER: Transition(State.DISCONNECTED, _LATER),
        Event.REFUSED: Transition(State.CLOSED, _END),
        Event.DRAIN: Transition(State.CLOSED, _END),
        Event.CLOSE: Transition(State.CLOSED, _END),
    },
    State.CONNECTED: {
        Event.LOST: Transition(State.DISCONNECTED, _LOST),
        Event.RETRY_LATER: Transition(State.DISCONNECTED, _LATER),
        Event.REFUSED: Transition(State.CLOSED, _END),
        Event.DRAIN: Transition(State.DRAINING, (Action.STOP_RECEIVING,)),
        Event.CLOSE: Transition(State.CLOSED, _END),
    },
    State.DRAINING: {
        Event.LOST: Transition(State.CLOSED, _END),
        Event.RETRY_LATER: Transition(State.CLOSED, _END),
        Event.REFUSED: Transition(State.CLOSED, _END),
        Event.CLOSE: Transition(State.CLOSED, _END),
    },
    State.CLOSED: {},
}

# What a publish or a request does in each state.
PUBLISHING = {
    State.DISCONNECTED: "`NotConnected`; waits with an offline buffer",
    State.CONNECTING: "`NotConnected`; waits with an offline buffer",
    State.CONNECTED: "is sent",
    State.DRAINING: "is sent by handlers that still run; `ClientClosed` otherwise",
    State.CLOSED: "`ClientClosed`, or the error with which the key was refused",
}

# Close codes of the WebSocket after which the same key will not be accepted again.
FINAL_CLOSE_CODES = (4401, 4403)
# Error codes that say the same, from the broker.
FINAL_ERROR_CODES = ("authentication_failed", "account_suspended", "account_deleted")
# Close codes before which the server names a delay.
RETRY_CLOSE_CODES = (1012, 1013)


def next_transition(state: State, event: Event) -> "Transition | None":
    """The transition of an event; None if it has no effect in this state."""
    return TRANSITIONS[state].get(event)
