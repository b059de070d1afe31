"""Child processes that are restarted when they exit, as systemd does on a server."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from artcafe_common.child_processes import die_with_parent

MIN_BACKOFF_S = 0.2
MAX_BACKOFF_S = 5.0
# A process that ran for this long is restarted without further delay.
STABLE_AFTER_S = 10.0
STOP_TIMEOUT_S = 12.0


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A command to keep running; its output is appended to `log`."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    log: Path


class Process(Protocol):
    """What a supervisor needs of a process, as of `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, signal: int, /) -> None: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


class Supervisor:
    """Keeps programs running until they are stopped; they are killed when this process dies."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, Process] = {}
        # The last exit code of each program that has exited.
        self.exit_codes: dict[str, int] = {}

    def start(self, program: Program) -> None:
        """Start a program and restart it whenever it exits."""
        if program.name in self._tasks:
            raise ValueError(f"{program.name} is already running")
        self.exit_codes.pop(program.name, None)
        self._tasks[program.name] = asyncio.create_task(self._run(program))

    async def stop(
        self, name: str, *, how: signal.Signals = signal.SIGTERM, within_s: float = STOP_TIMEOUT_S
    ) -> None:
        """Stop a program without a restart; it is killed if it does not exit in time."""
        task = self._tasks.pop(name, None)
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        process = self._processes.pop(name, None)
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def kill(self, name: str) -> int:
        """Send SIGKILL to a program, which is then restarted; returns the pid."""
        process = self._processes[name]
        process.kill()
        return process.pid

    def pid(self, name: str) -> int | None:
        """The pid of the program; None while it is not running."""
        process = self._processes.get(name)
        return process.pid if process is not None and process.returncode is None else None

    @property
    def names(self) -> list[str]:
        """The names of the supervised programs."""
        return list(self._tasks)

    async def launch(self, program: Program, log: BinaryIO) -> Process:
        """Start a process of the program, which writes to `log`."""
        return await asyncio.create_subprocess_exec(
            *program.command,
            env=dict(program.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    async def _run(self, program: Program) -> None:
        backoff_s = MIN_BACKOFF_S
        while True:
            started_at = time.monotonic()
            with program.log.open("ab") as log:
                process = await self.launch(program, log)
            self._processes[program.name] = process
            code = self.exit_codes[program.name] = await process.wait()
            with program.log.open("a") as log:
                log.write(f"-- {program.name} exited with {code}\n")
            backoff_s = MIN_BACKOFF_S if time.monotonic() - started_at > STABLE_AFTER_S else backoff_s
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)


def kill_leftovers(pids: Mapping[str, int], marker: str) -> None:
    """Kill processes left by an earlier run, if their environment contains `marker`."""
    for pid in pids.values():
        with suppress(OSError):
            if marker.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
