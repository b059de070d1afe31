"""Services as forks of a process that has imported them: to import one takes more than a second of processor time."""

import asyncio
import atexit
import multiprocessing
import os
import runpy
import signal
import sys
from functools import cache

from artcafe_common.child_processes import die_with_parent
from artcafe_common.dev.supervisor import Supervisor
from support.priority import lower_priority

MOTO = "artcafe_common.dev.moto"


class ForkingSupervisor(Supervisor):
    """Starts Python modules as forks, and other programs as usual."""

    async def launch(self, program, log):
        """Start a process of the program, which writes to `log`."""
        command = program.command
        if command[:2] != [sys.executable, "-m"] or not command[2].startswith("artcafe_"):
            return await super().launch(program, log)
        process = fork_server().Process(
            target=run_module, args=(command[2:], dict(program.environ), str(program.log)), daemon=True
        )
        process.start()
        return Fork(process)


class Fork:
    """A process of `multiprocessing`, as asyncio's."""

    def __init__(self, process):
        self._process = process
        self.pid = process.pid
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, self._end, loop)

    def _end(self, loop):
        loop.remove_reader(self._process.sentinel)
        self._process.join()
        self._ended.set()

    @property
    def returncode(self):
        return self._process.exitcode

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    async def wait(self):
        await self._ended.wait()
        return self.returncode


@cache
def fork_server():
    """The context of a process that has imported the services and waits for orders."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.preloaded"])
    return context


def run_module(arguments, environ, log):
    """Run a module as `python -m` would, in this process; `arguments` begin with its name."""
    die_with_parent()
    os.setsid()
    if arguments[0] != MOTO:
        # The stores get more of a busy machine than the services that wait for them, as on machines of their own.
        lower_priority()
    with open(log, "ab") as output, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - as the file numbers are what counts
        for source, number in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source.fileno(), number)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
