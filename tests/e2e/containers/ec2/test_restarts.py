"""Restarts of each unit under load, and of the host."""

import asyncio
import re
import subprocess
import time

import pytest

from support.container_clients import call
from support.ec2_host import UNITS
from support.numbered_publisher import NumberedPublisher
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("unit", UNITS)
async def test_a_restart_under_load_loses_nothing_acknowledged(host, story, unit):
    alice, _ = story["clients"]
    publisher = NumberedPublisher(host, alice, story["channel_id"])
    running = asyncio.create_task(publisher.run())
    await eventually(lambda: len(publisher.acknowledged) > 50, within=30)
    began, since = time.monotonic(), int(time.time())
    await asyncio.to_thread(host.run, f"systemctl restart {unit}")
    restarted = time.monotonic() - began
    # It stopped by itself, and with success.
    log = host.read(f"journalctl --no-pager --unit {unit} --since @{since}")
    assert not re.search("Failed with result|timed out|Killing process", log), log
    await host.wait_until_healthy()
    count = len(publisher.acknowledged)
    await eventually(lambda: len(publisher.acknowledged) > count + 50, within=60)
    publisher.stop()
    await asyncio.wait_for(running, 30)
    found = await publisher.read_back()
    print(
        f"\n{unit}: {len(publisher.acknowledged)} acknowledged, {len(found)} stored, restarted in {restarted:.1f} s"
    )
    assert {
        number: seq for number, seq in found if number in publisher.acknowledged
    } == publisher.acknowledged
    # Each once, and in order.
    assert [number for number, _ in found] == list(range(len(found)))
    if unit == "artcafe@gateway.service":
        assert publisher.reconnects
        assert all(100 <= each <= 1_100 for each in publisher.reconnects)


async def test_the_host_reboots_and_is_back_by_itself(host, story):
    path = f"/channels/{story['channel_id']}/messages"
    async with host.sign_in(story["tenant_id"]) as http:
        stored = await call(http, "POST", path, 202, json={"data": "before the reboot"})
    await asyncio.to_thread(
        subprocess.run, ["docker", "restart", "-t", "60", host.name], check=True, capture_output=True
    )
    host.wait_for_boot()
    await host.wait_until_healthy(within=180)
    # The gateway's unit is active when the last of its workers is ready.
    await eventually(lambda: host.states() == ["active"] * len(UNITS), within=60)
    async with host.sign_in(story["tenant_id"]) as http:
        page = await call(http, "GET", path, 200, params={"since": stored["seq"]})
        assert page["messages"][0]["data"] == "before the reboot"


async def test_a_service_whose_event_loop_hangs_is_restarted(host):
    unit, drop_in = "artcafe@metering.service", "/etc/systemd/system/artcafe@metering.service.d/test.conf"
    host.run(f"printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n' > {drop_in} && systemctl daemon-reload")
    host.run(f"systemctl restart {unit}")
    pid = host.read(f"systemctl show -P MainPID {unit}")
    # Longer than the watchdog's time: it is notified.
    await asyncio.sleep(4)
    assert host.read(f"systemctl show -P MainPID {unit}") == pid
    host.run(f"kill -STOP {pid}")
    await eventually(
        lambda: (
            host.read(f"systemctl show -P MainPID {unit}") not in (pid, "0")
            and host.states() == ["active"] * len(UNITS)
        ),
        within=60,
    )
    assert "watchdog" in host.read(f"journalctl --no-pager --since -2min --unit {unit}").lower()
    host.run(f"rm {drop_in} && systemctl daemon-reload")
