"""Programs that clean up when they are stopped."""

import asyncio
import signal


def run_cancellable(main):
    """Run the coroutine, which SIGTERM and SIGHUP cancel."""

    async def run():
        task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await main

    return asyncio.run(run())
