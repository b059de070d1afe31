"""The diagrams of state machines, from the tables of transitions in the code."""

import sys
from enum import Enum

from docs.generate.declarations import import_all

_TABLE = "TRANSITIONS"


def bridge() -> str:
    """The states of a bridge's connection."""
    return _diagram("BridgeState")


def recovery() -> str:
    """The states of a recovering subscription."""
    return _diagram("RecoveryState")


def presence_comparison() -> str:
    """The states of presence's comparison with the broker."""
    return _diagram("ReconcileState")


def _diagram(name: str) -> str:
    """A Mermaid state diagram. The first state of the enumeration is the initial one."""
    transitions = _table(name)
    initial = next(iter(type(next(iter(transitions)))))
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {_label(initial)}"]
    for state, following in transitions.items():
        if following <= {state}:
            lines.append(f"  {_label(state)} --> [*]")
        else:
            others = sorted(_label(each) for each in following if each is not state)
            lines += [f"  {_label(state)} --> {label}" for label in others]
    return "\n".join([*lines, "```"])


def _table(name: str) -> dict[Enum, set[Enum]]:
    import_all()
    for module in tuple(sys.modules.values()):
        table = getattr(module, _TABLE, None)
        if isinstance(table, dict) and any(type(state).__name__ == name for state in table):
            return table
    raise ValueError(f"no table of transitions for {name}")


def _label(state: Enum) -> str:
    return state.name.lower()
