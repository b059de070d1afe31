"""Child processes that are started again when they die, as systemd will do on a server."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from artcafe_common.child_processes import die_with_parent

FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
STEADY_S = 10.0
TERM_S = 12.0


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep running; output goes to `log`."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    log: Path


class Supervisor:
    """Keeps programs running until told to stop them; none outlives this process."""

    def __init__(self) -> None:
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def start(self, program: Program) -> None:
        """Keep a program running from now on."""
        if program.name in self._keepers:
            raise ValueError(f"{program.name} runs already")
        self._keepers[program.name] = asyncio.create_task(self._keep(program))

    async def stop(self, name: str, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End a program and do not start it again; killed when it does not end in time."""
        keeper = self._keepers.pop(name, None)
        if keeper is None:
            return
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        process = self._processes.pop(name, None)
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), TERM_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def kill(self, name: str) -> int:
        """SIGKILL a program, which is then started again; returns the pid that was killed."""
        process = self._processes[name]
        process.kill()
        return process.pid

    def pid(self, name: str) -> int | None:
        """The program's process, if it runs now."""
        process = self._processes.get(name)
        return process.pid if process is not None and process.returncode is None else None

    @property
    def names(self) -> list[str]:
        """What is kept running."""
        return list(self._keepers)

    async def _keep(self, program: Program) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            with program.log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *program.command,
                    env=dict(program.environ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            self._processes[program.name] = process
            code = await process.wait()
            with program.log.open("a") as log:
                log.write(f"-- {program.name} ended with {code}\n")
            pause = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)


def end_leftovers(pids: Mapping[str, int], marker: str) -> None:
    """Kill processes that an earlier, killed run left behind: those whose environment has `marker`."""
    for pid in pids.values():
        with suppress(OSError):
            if marker.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
