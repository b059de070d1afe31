"""Notifications to the service manager, and what a process notifies in its life."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from artcafe_common.service_manager import READY, WATCHDOG, ServiceManager


@pytest.fixture
def manager_socket(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        yield receiver


def test_notifies_the_socket_that_is_named(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname()})
    manager.notify(READY, status="ready,\nversion 1")
    assert manager_socket.recv(4096) == b"READY=1\nSTATUS=ready, version 1"
    manager.close()
    manager.notify(READY)


@pytest.mark.skipif(sys.platform != "linux", reason="the abstract namespace is Linux'")
def test_notifies_an_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0artcafe-test-{os.getpid()}")
        receiver.settimeout(10)
        manager = ServiceManager({"NOTIFY_SOCKET": f"@artcafe-test-{os.getpid()}"})
        manager.notify(READY)
        assert receiver.recv(4096) == b"READY=1"
        manager.close()


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"NOTIFY_SOCKET": "relative"}],
)
def test_a_process_without_a_manager_goes_on(environ):
    manager = ServiceManager(environ)
    manager.notify(READY, status="ready")
    manager.close()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "junk"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10),
    ],
)
def test_watchdog_interval_is_the_managers(manager_socket, environ, interval_s):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname(), **environ})
    assert manager.watchdog_interval_s == interval_s
    manager.close()


async def test_watchdog_is_notified_while_the_event_loop_runs(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "30000"})
    watchdog = asyncio.create_task(manager.run_watchdog())
    await asyncio.sleep(0.1)
    watchdog.cancel()
    manager.close()
    assert [manager_socket.recv(4096).decode() for _ in range(3)] == [WATCHDOG] * 3


def test_a_service_notifies_what_it_waits_for_that_it_is_ready_and_that_it_stops(manager_socket):
    program = textwrap.dedent("""
        from contextlib import asynccontextmanager
        from artcafe_common.lifecycle import run, wait_until_available
        from artcafe_common.settings import ServiceSettings

        tries = iter([OSError("refused"), None])

        async def check():
            if error := next(tries):
                raise error

        @asynccontextmanager
        async def app(settings):
            await wait_until_available("store", check)
            yield

        run("example", ServiceSettings, app)
    """)
    environ = {**os.environ, "NOTIFY_SOCKET": manager_socket.getsockname(), "ARTCAFE_REVISION": "abc123"}
    with subprocess.Popen([sys.executable, "-c", program], env=environ, stdout=subprocess.DEVNULL) as process:
        assert manager_socket.recv(4096) == b"STATUS=waiting for store: refused"
        ready = manager_socket.recv(4096).decode().splitlines()
        assert ready[0] == READY
        assert ready[1].startswith("STATUS=ready, version ")
        assert ready[1].endswith(", revision abc123")
        process.terminate()
        assert manager_socket.recv(4096).startswith(b"STOPPING=1")
        assert process.wait(10) == 0
