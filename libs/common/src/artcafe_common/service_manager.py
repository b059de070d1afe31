"""Notifies the service manager of this process: sd_notify(3) of systemd, without its library.

Does nothing unless `NOTIFY_SOCKET` names a socket, as systemd sets it for units of `Type=notify`. The parent of a
gateway's worker gives it an inherited socket instead (`ARTCAFE_NOTIFY_FD`).
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

FD_VARIABLE = "ARTCAFE_NOTIFY_FD"
READY, STOPPING, WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"
# Of the manager's timeout, so that one late notification does no harm.
_WATCHDOG_FRACTION = 1 / 3


class ServiceManager:
    """The manager that started this process, if one did."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._socket: socket.socket | None = None
        self._address: str | None = None
        if environ.get(FD_VARIABLE, "").isdigit():
            self._socket = socket.socket(fileno=int(environ[FD_VARIABLE]))
        elif environ.get("NOTIFY_SOCKET", "").startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            # "@" names a socket of Linux' abstract namespace.
            self._address = environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
        if self._socket is not None:
            self._socket.settimeout(0)
        self.watchdog_interval_s = _watchdog_interval(environ) if self._socket is not None else None

    def notify(self, *states: str, status: str = "") -> None:
        """Send states, and a line for `systemctl status`. A manager that cannot be reached is ignored."""
        if self._socket is None:
            return
        lines = [*states, *([f"STATUS={' '.join(status.split())}"] if status else [])]
        with suppress(OSError):
            if self._address is None:
                self._socket.send("\n".join(lines).encode())
            else:
                self._socket.sendto("\n".join(lines).encode(), self._address)

    async def run_watchdog(self) -> None:
        """Notify the manager while the event loop runs; it restarts a process that stops to."""
        while self.watchdog_interval_s is not None:
            self.notify(WATCHDOG)
            await asyncio.sleep(self.watchdog_interval_s)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    timeout_us = environ.get("WATCHDOG_USEC", "")
    if not timeout_us.isdigit() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(timeout_us) / 1e6 * _WATCHDOG_FRACTION or None
