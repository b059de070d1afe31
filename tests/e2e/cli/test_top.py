"""`artcafe top` over a running stack, driven through textual's pilot, and its rates."""

import re

import pytest
from textual.widgets import DataTable, Static

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.cli.top import TopApp
from artcafe_common.cli.top_traffic import Snapshot, gateway_rows, read_snapshot, tenant_rows
from artcafe_common.contracts.gateway import GatewayTraffic, TenantTraffic
from artcafe_common.contracts.metering import DirectTraffic
from support.cleanup import close_after_test
from support.cli import Terminal
from support.waiting import eventually


@pytest.fixture
async def bus(stack):
    nc = await connect(
        f"nats://127.0.0.1:{stack.ports.nats}", stack.directory / "keys/admin.creds", name="admin"
    )
    close_after_test(nc, nc.close)
    return Bus(nc, service="admin")


def rows_of(app, table):
    """The text of a table's cells, by the first of each row."""
    found = app.query_one(f"#{table}", DataTable)
    rows = [[str(cell) for cell in found.get_row_at(index)] for index in range(found.row_count)]
    return {row[0]: row[1:] for row in rows}


async def test_top_shows_gateways_and_organizations(stack, bus, tenant, tmp_path):
    client = await tenant.create_client()
    sockets = [await client.connect_websocket() for _ in range(3)]
    nc = await client.connect_nats()
    for socket in sockets:
        await socket.subscribe(subject="shown")

    async def read():
        return await read_snapshot(bus, 200)

    app = TopApp(read, interval_s=0.5)
    async with app.run_test(size=(140, 40)) as pilot:

        async def shown():
            for number in range(5):
                await sockets[0].send_and_receive(
                    "publish", "published", subject="shown", data=number, id=number
                )
            await nc.publish(f"{tenant.id}.shown", b"1")
            await nc.flush()
            await pilot.pause()
            row = rows_of(app, "tenants").get(tenant.id)
            # Rates of messages over both transports, and of what was delivered to the sockets.
            return row and row[:2] == ["3", "1"] and float(row[3].replace(",", "")) > 0 and row

        row = await eventually(shown, within=20)
        assert float(row[4].replace(",", "")) > float(row[3].replace(",", ""))
        assert rows_of(app, "gateways").keys() == {"dev-gateway"}
        summary = str(app.query_one("#summary", Static).render())
        assert "1 gateway processes" in summary
        assert re.search(r"broker: 1 servers   [\d,]+ connections", summary)
        assert not app.query_one("#problems", Static).display
        screen = app.export_screenshot(title="artcafe top")
        assert tenant.id in screen
        (tmp_path / "top.svg").write_text(screen)
        await pilot.press("p")
        await pilot.press("q")
    assert app.return_code == 0


async def test_top_tells_what_it_cannot_read(stack):
    async def read():
        return Snapshot(at=1.0, problems=["no gateway answers"])

    app = TopApp(read, interval_s=60)
    async with app.run_test() as pilot:
        await pilot.pause()
        await eventually(lambda: app.query_one("#problems", Static).display)
        assert "no gateway answers" in str(app.query_one("#problems", Static).render())


async def test_top_needs_the_operators_keys(tmp_path):
    result = await Terminal(tmp_path).run("top", ARTCAFE_KEYS_DIR=str(tmp_path))
    assert (result.code, "ARTCAFE_KEYS_DIR" in result.err) == (1, True)


def traffic(instance, tenants):
    rows = [TenantTraffic(tenant_id=name, sockets=1, messages=count) for name, count in tenants.items()]
    total = TenantTraffic(tenant_id="", sockets=len(rows), messages=sum(tenants.values()))
    return GatewayTraffic(instance=instance, server_id=instance, total=total, tenants=rows)


def test_rates_are_differences_and_restarts_are_no_spikes():
    before = Snapshot(at=10.0, gateways=[traffic("a", {"t1": 100}), traffic("b", {"t1": 1000})])
    # b was restarted as c, whose totals began anew.
    after = Snapshot(at=12.0, gateways=[traffic("a", {"t1": 120, "t2": 4}), traffic("c", {"t1": 900})])
    assert {row.name: row.messages for row in gateway_rows(before, after)} == {"a": 12.0, "c": 0.0}
    rates = {row.name: (row.sockets, row.messages) for row in tenant_rows(before, after)}
    assert rates["t1"] == (2, 10.0)
    assert rates["t2"][0] == 1
    assert all(row.messages == 0 for row in tenant_rows(None, after))


def test_closed_direct_connection_is_no_negative_rate():
    before = Snapshot(at=0.0, direct=[DirectTraffic(tenant_id="t", connections=2, messages=500)])
    after = Snapshot(at=1.0, direct=[DirectTraffic(tenant_id="t", connections=1, messages=100)])
    (row,) = tenant_rows(before, after)
    assert (row.direct, row.messages) == (1, 0.0)
