"""The table of plans."""

from artcafe_common.plans import LIMITS
from docs.generate.markdown import table as markdown_table

_MIB = 1024**2
_GIB = 1024**3
_ROWS = {
    "clients": "clients and agents",
    "channels": "channels",
    "messages_per_month": "messages a month",
    "connections": "concurrent connections",
    "api_calls_per_minute": "REST calls a minute",
    "storage_bytes": "storage",
    "own_streams": "streams of your own",
    "own_stream_consumers": "consumers of each",
    "own_storage_bytes": "storage of your own streams",
}


def table() -> str:
    """One column for each plan."""
    fields = next(iter(LIMITS.values())).__struct_fields__
    if missing := set(fields) ^ _ROWS.keys():
        raise ValueError(f"limits without a row, or rows without a limit: {sorted(missing)}")
    rows = [
        (_ROWS[field], *(_shown(field, getattr(limits, field)) for limits in LIMITS.values()))
        for field in fields
    ]
    return markdown_table(("", *(plan.value for plan in LIMITS)), rows)


def _shown(field: str, number: int | None) -> str:
    if number is None:
        return "no limit"
    if not field.endswith("storage_bytes"):
        return f"{number:,}"
    return f"{number // _GIB} GiB" if number >= _GIB else f"{number // _MIB} MiB"
