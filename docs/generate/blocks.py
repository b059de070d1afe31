"""Generated blocks of Markdown pages.

A page marks a block with `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is replaced.
"""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import (
    cli_commands,
    client_api,
    client_states,
    close_codes,
    contracts,
    errors,
    frames,
    layers,
    log_events,
    metrics,
    nats_subjects,
    plans,
    routes,
    settings,
    states,
    tables,
    typescript_api,
)
from docs.generate.store_states.dynamodb import DYNAMODB
from docs.generate.store_states.provider import PROVIDER
from docs.generate.store_states.redis import REDIS

ROOT = Path(__file__).parents[2]
BLOCKS: dict[str, Callable[[], str]] = {
    "agent frames": frames.agent_frames,
    "bridge states": states.bridge,
    "client behaviour": client_states.behaviour,
    "client frames": frames.client_frames,
    "close codes": close_codes.table,
    "commands": contracts.commands,
    "common layers": layers.common,
    "dashboard frames": frames.dashboard_frames,
    "dynamodb states": DYNAMODB.render,
    "errors": errors.sections,
    "events": contracts.events,
    "gateway layers": layers.gateway,
    "log events": log_events.table,
    "metrics": metrics.table,
    "nats subjects": nats_subjects.table,
    "operator commands": cli_commands.for_operators,
    "plans": plans.table,
    "python client": client_api.reference,
    "presence comparison": states.presence_comparison,
    "provider states": PROVIDER.render,
    "recovery states": states.recovery,
    "redis states": REDIS.render,
    "route examples": routes.examples,
    "routes": routes.index,
    "service layers": layers.services,
    "settings": settings.table,
    "signals": contracts.signals,
    "tables": tables.tables,
    "typescript client": typescript_api.reference,
    "user commands": cli_commands.for_users,
}
_BLOCK = re.compile(r"<!-- generated: ([a-z ]+) -->\n.*?<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """Every Markdown page of the documentation."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def names_in(text: str) -> list[str]:
    """The names of a page's blocks; ValueError for a block that has no generator or no end."""
    names = _BLOCK.findall(text)
    unknown = set(names) - BLOCKS.keys()
    if unknown or len(names) != text.count("<!-- generated: "):
        raise ValueError(f"unknown or open block: {sorted(unknown)}")
    return names


def regenerate(text: str) -> str:
    """A page with each of its blocks generated from the code."""
    names_in(text)
    return _BLOCK.sub(
        lambda match: f"<!-- generated: {match[1]} -->\n\n{BLOCKS[match[1]]().strip()}\n\n<!-- end -->", text
    )
