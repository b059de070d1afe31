"""`artcafe top`: a live view of the system in the terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from artcafe_common.bus.client import Bus
from artcafe_common.cli.operator_bus import operator_bus
from artcafe_common.cli.top_traffic import (
    Row,
    Snapshot,
    gateway_rows,
    read_snapshot,
    tenant_rows,
    total_row,
)

ReadSnapshot = Callable[[], Awaitable[Snapshot]]
COLUMNS = (
    *("sockets", "NATS", "unsent", "messages/s", "deliveries/s"),
    *("in/s", "out/s", "calls/s", "slow"),
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class TopApp(App[None]):
    """Totals, the gateways, and the busiest organizations."""

    TITLE = "artcafe top"
    CSS = """
    #summary { height: auto; padding: 0 1; background: $panel; }
    #problems { height: auto; padding: 0 1; color: $error; }
    #gateways { height: auto; max-height: 12; }
    #tenants { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause"),
    ]

    def __init__(self, read: ReadSnapshot, *, interval_s: float) -> None:
        super().__init__()
        self._read = read
        self._interval_s = interval_s
        self._last: Snapshot | None = None
        self._paused = False

    def compose(self) -> ComposeResult:
        """The widgets, from top to bottom."""
        yield Static(id="summary")
        yield Static(id="problems")
        yield DataTable(id="gateways", cursor_type="none", zebra_stripes=True)
        yield DataTable(id="tenants", cursor_type="row", zebra_stripes=True)
        yield Footer()

    async def on_mount(self) -> None:
        """Read now, and again and again."""
        for name, first in (("gateways", "gateway"), ("tenants", "organization")):
            self.query_one(f"#{name}", DataTable).add_columns(first, *COLUMNS)
        self.run_worker(self._refresh_always(), exclusive=True)

    def action_pause(self) -> None:
        """Stop or continue reading."""
        self._paused = not self._paused

    async def _refresh_always(self) -> None:
        while True:
            if not self._paused:
                self.show(await self._read())
            await asyncio.sleep(self._interval_s)

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot, with the rates since the one before."""
        gateways = gateway_rows(self._last, snapshot)
        tenants = tenant_rows(self._last, snapshot)
        self._last = snapshot
        self.query_one("#summary", Static).update(_summary(total_row(tenants), snapshot, len(tenants)))
        problems = self.query_one("#problems", Static)
        problems.display = bool(snapshot.problems)
        problems.update(Text("; ".join(snapshot.problems)))
        _fill(self.query_one("#gateways", DataTable), gateways)
        _fill(self.query_one("#tenants", DataTable), tenants)


async def run(interval_s: float, limit: int) -> None:
    """Show the view until the user quits. Raises FileNotFoundError or ServiceUnavailable."""
    async with operator_bus() as bus:
        await TopApp(_reader(bus, limit), interval_s=interval_s).run_async()


def _reader(bus: Bus, limit: int) -> ReadSnapshot:
    async def read() -> Snapshot:
        return await read_snapshot(bus, limit)

    return read


def _fill(table: DataTable[Text], rows: list[Row]) -> None:
    """Replace the rows; the cursor and the scroll position stay."""
    position, scrolled = table.cursor_row, table.scroll_y
    table.clear()
    for row in rows:
        table.add_row(*_cells(row), key=row.name)
    table.move_cursor(row=min(position, max(len(rows) - 1, 0)), scroll=False)
    table.scroll_to(y=scrolled, animate=False)


def _cells(row: Row) -> list[Text]:
    values = (
        f"{row.sockets:,}",
        f"{row.direct:,}",
        _bytes(row.unsent_bytes),
        _number(row.messages),
        _number(row.deliveries),
        _bytes(row.bytes_in),
        _bytes(row.bytes_out),
        _number(row.api_calls),
        f"{row.slow_consumers:,}",
    )
    cells = [Text(row.name), *(Text(value, justify="right") for value in values)]
    if row.slow_consumers:
        cells[-1].stylize("bold red")
    return cells


def _summary(total: Row, snapshot: Snapshot, organizations: int) -> Text:
    counts = (
        f"{len(snapshot.gateways)} gateway processes",
        f"{organizations} active organizations",
        f"{total.sockets:,} sockets",
        f"{total.direct:,} direct NATS connections",
    )
    rates = (
        f"{_number(total.messages)} messages/s",
        f"{_number(total.deliveries)} deliveries/s",
        f"{_bytes(total.bytes_in)}/s in",
        f"{_bytes(total.bytes_out)}/s out",
        f"{_number(total.api_calls)} calls/s",
        f"{total.slow_consumers:,} slow consumers",
    )
    lines = ["   ".join(counts), "   ".join(rates)]
    if snapshot.broker is not None:
        servers = snapshot.broker.servers
        behind = sum(consumer.pending for stream in snapshot.broker.streams for consumer in stream.consumers)
        stored = _bytes(max((server.storage_bytes for server in servers), default=0))
        lines.append(
            f"broker: {len(servers)} servers   {sum(server.connections for server in servers):,} connections   "
            f"{sum(server.slow_consumers for server in servers):,} slow consumers   {stored} stored   "
            f"{behind:,} events to read"
        )
    return Text("\n".join(lines))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"  # noqa: PLR2004 - two digits


def _bytes(value: float) -> str:
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:  # noqa: PLR2004 - a unit's size
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit returned")
