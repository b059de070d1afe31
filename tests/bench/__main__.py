"""Run the given rows of the benchmark, or all of them, and record the results."""

import argparse
import asyncio
import sys
import time
import traceback
from pathlib import Path

from artcafe_common.dev.stack import AlreadyRunning
from bench import history, report
from bench.environment import Environment
from bench.rows import (
    api_flood,
    centrifugo,
    connects,
    console,
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
    sdk,
    slow,
    soak,
    storm,
    tracing,
    workers,
)
from support.cancellable import run_cancellable

ROOT = Path(__file__).parents[2]
ROWS = {
    "fanout": fanout,
    "growth": growth,
    "pairs": pairs,
    "tracing": tracing,
    "latency": latency,
    "connects": connects,
    "storm": storm,
    "workers": workers,
    "memory": memory,
    "rest": rest,
    "slow": slow,
    "flood": flood,
    "api_flood": api_flood,
    "counting": counting,
    "resume": resume,
    "sdk": sdk,
    "console": console,
    "centrifugo": centrifugo,
    "soak": soak,
    # Last: all of its clients go offline when it ends.
    "heartbeats": heartbeats,
}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", choices=[*ROWS, []], help=f"any of: {', '.join(ROWS)}", metavar="row"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short run per row; no soak unless it is named"
    )
    parser.add_argument("--soak-minutes", type=float, default=10)
    parser.add_argument(
        "--directory", type=Path, default=ROOT / ".dev/bench", help="data directory of the stack"
    )
    parser.add_argument("--json", type=Path, default=ROOT / ".dev/bench.json")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/internals/performance.md")
    parser.add_argument(
        "--keep", action="store_true", help="keep the stored results of the rows that are not run"
    )
    parser.add_argument("--no-document", action="store_true", help="do not change the document")
    return parser.parse_args()


async def main(given):
    """Returns the number of failed rows."""
    environment = Environment(given.directory, quick=given.quick, soak_minutes=given.soak_minutes)
    names = given.rows or [name for name in ROWS if name != "soak" or not given.quick]
    results, failed = [], 0
    try:
        await environment.start()
        for name in names:
            began = time.monotonic()
            try:
                async for result in ROWS[name].run(environment):
                    results.append(result)
                    report.print_result(result)
            except Exception:  # noqa: BLE001 - the other rows still run
                failed += 1
                traceback.print_exc()
            print(f"{name:9} took {time.monotonic() - began:.0f} s", flush=True)
        about = report.describe_environment(environment, quick=given.quick)
    finally:
        await environment.stop()
    if given.keep:
        results = report.merge_results(given.json, results, ROWS)
    report.write_json(given.json, results, about)
    if not given.no_document:
        report.write_document(given.document, report.render_table(results, about))
        line = history.render_line(results, date=about["date"], commit=history.read_commit(ROOT))
        if line is not None and not given.quick:
            history.add_line(given.document, line)
    return failed


def run():
    try:
        failed = run_cancellable(main(parse_arguments()))
    except AlreadyRunning as error:
        sys.exit(f"bench: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run()
