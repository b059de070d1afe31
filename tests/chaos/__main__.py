"""Run the given faults, or all of them, one after another, and record what became of the traffic."""

import argparse
import asyncio
import datetime as dt
import logging
import sys
import traceback
from pathlib import Path

import psutil

from bench.report import write_document
from chaos import disk, report
from chaos.faults import FAULTS
from chaos.stack import ChaosStack
from chaos.trial import run_trial
from support.cancellable import run_cancellable
from support.cleanup import close_all
from support.stack import running_stack

ROOT = Path(__file__).parents[2]
# A round that takes longer has failed.
ROUND_WITHIN_S = 150.0
SETTINGS = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": "60"}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument(
        "faults", nargs="*", choices=[*FAULTS, []], help=f"any of: {', '.join(FAULTS)}", metavar="fault"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault is injected")
    parser.add_argument("--directory", type=Path, default=ROOT / ".dev/chaos")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/internals/reliability.md")
    parser.add_argument("--no-document", action="store_true", help="do not change the document")
    return parser.parse_args()


async def main(given):
    """Returns the number of rounds that failed and of promises that were broken."""
    found, failed = {}, 0
    about = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}; {psutil.cpu_count()} processors; rounds of each fault: {given.rounds}."
    if not given.faults:
        about += f"\n\n{await disk.describe()}"
    async with running_stack(given.directory, SETTINGS, kind=ChaosStack) as stack:
        for name in given.faults or FAULTS:
            inject, node = FAULTS[name]
            for _ in range(given.rounds):
                try:
                    async with asyncio.timeout(ROUND_WITHIN_S):
                        results = await run_trial(stack, name, inject, node)
                except Exception:  # noqa: BLE001 - the other faults are still injected
                    failed += 1
                    traceback.print_exc()
                    print(f"{name}: failed", flush=True)
                    continue
                finally:
                    await close_all()
                for each in results:
                    print(" | ".join(report.render_cells(each)), flush=True)
                    key = (each.fault, each.traffic)
                    if key in found:
                        found[key].add(each)
                    else:
                        found[key] = each
            record(given, found, about)
    broken = [each for one in found.values() for each in report.list_violations(one)]
    print("\n".join(broken))
    return failed + len(broken)


def record(given, found, about):
    """Write what was found so far."""
    if not given.no_document:
        write_document(given.document, report.render_table(list(found.values()), about))


if __name__ == "__main__":
    # asyncio warns at each TLS connection that the other side closes.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        sys.exit(1 if run_cancellable(main(parse_arguments())) else 0)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped")
