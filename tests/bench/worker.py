"""A process beside the servers: it takes one command a line on stdin and answers each on stdout.

The load generator, the publisher and the flooding tenant are three of these. It ends with its
stdin, so that none is left when the benchmark is killed.
"""

import asyncio
import json
import os
import resource
import sys
import traceback

import structlog
import uvloop

from bench import jobs_connections, jobs_rest, jobs_services, jobs_throughput

COMMANDS = {
    **jobs_throughput.COMMANDS,
    **jobs_connections.COMMANDS,
    **jobs_rest.COMMANDS,
    **jobs_services.COMMANDS,
}


async def main():
    # Standard output is for answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"id": 0, "result": {"files": hard, "files_before": soft}})
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(obey(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    os._exit(0)


async def obey(command):
    try:
        result = await COMMANDS[command["do"]](**command["with"])
    except Exception as error:  # noqa: BLE001 - told to who asked
        traceback.print_exc()
        say({"id": command["id"], "error": repr(error)})
    else:
        say({"id": command["id"], "result": result})


def say(answer):
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
