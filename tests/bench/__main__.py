"""Run the rows that are asked for, or all of them, and write down what they found."""

import argparse
import asyncio
import signal
import sys
import time
import traceback
from pathlib import Path

from artcafe_common.dev.stack import AlreadyRunning
from bench import report
from bench.environment import World
from bench.rows import (
    connects,
    counting,
    fanout,
    flood,
    growth,
    heartbeats,
    latency,
    memory,
    pairs,
    rest,
    resume,
    slow,
    soak,
)

ROOT = Path(__file__).parents[2]
ROWS = {
    "fanout": fanout,
    "growth": growth,
    "pairs": pairs,
    "latency": latency,
    "connects": connects,
    "memory": memory,
    "rest": rest,
    "slow": slow,
    "flood": flood,
    "counting": counting,
    "resume": resume,
    "soak": soak,
    # Last, since as many clients as it has go offline behind it.
    "heartbeats": heartbeats,
}


def arguments():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help=f"of: {', '.join(ROWS)}", metavar="row")
    parser.add_argument(
        "--quick", action="store_true", help="one run each, shorter, no soak unless asked for"
    )
    parser.add_argument("--soak-minutes", type=float, default=10)
    parser.add_argument("--directory", type=Path, default=ROOT / ".dev/bench", help="where the stack lives")
    parser.add_argument("--json", type=Path, default=ROOT / ".dev/bench.json")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/internals/performance.md")
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows of the last run that are not run now"
    )
    parser.add_argument("--no-document", action="store_true", help="leave the document as it is")
    return parser.parse_args()


async def main(given):
    """The number of rows that failed."""
    world = World(given.directory, quick=given.quick)
    world.soak_minutes = given.soak_minutes
    names = given.rows or [name for name in ROWS if name != "soak" or not given.quick]
    results, failed = [], 0
    try:
        await world.up()
        for name in names:
            began = time.monotonic()
            try:
                async for result in ROWS[name].run(world):
                    results.append(result)
                    report.say(result)
            except Exception:  # noqa: BLE001 - the other rows go on
                failed += 1
                traceback.print_exc()
            print(f"{name:9} took {time.monotonic() - began:.0f} s", flush=True)
        about = report.circumstances(world, quick=given.quick)
    finally:
        await world.down()
    if given.keep:
        results = report.merged(given.json, results, ROWS)
    report.write_json(given.json, results, about)
    if not given.no_document:
        report.write_document(given.document, report.markdown(results, about))
    return failed


def run():
    loop_task = None

    async def guarded():
        nonlocal loop_task
        loop_task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, loop_task.cancel)
        return await main(arguments())

    try:
        failed = asyncio.run(guarded())
    except AlreadyRunning as error:
        sys.exit(f"bench: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run()
