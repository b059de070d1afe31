"""A worker process: reads one JSON job per line from stdin, and writes each result to stdout.

The load generator, the publisher and the flooding tenant are workers. A worker ends when its stdin
closes, so none outlives a benchmark that was killed.
"""

import asyncio
import json
import os
import resource
import sys
import traceback

import structlog
import uvloop

from bench import jobs_connections, jobs_rest, jobs_sdk, jobs_services, jobs_throughput

JOBS = {
    **jobs_throughput.JOBS,
    **jobs_connections.JOBS,
    **jobs_rest.JOBS,
    **jobs_services.JOBS,
    **jobs_sdk.JOBS,
}


async def main():
    # Standard output is for results.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    write({"id": 0, "result": {"open_files_limit": hard}})
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(run_job(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    os._exit(0)


async def run_job(request):
    try:
        result = await JOBS[request["job"]](**request["arguments"])
    except Exception as error:  # noqa: BLE001 - the caller gets every error
        traceback.print_exc()
        write({"id": request["id"], "error": repr(error)})
    else:
        write({"id": request["id"], "result": result})


def write(response):
    print(json.dumps(response), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
