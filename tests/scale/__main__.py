"""Measure a stack with more and more organizations, and print how each cost grows."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from artcafe_common.dev.stack import AlreadyRunning, Stack
from scale import report
from scale.measures import Machine
from scale.phases import PHASES
from scale.population import Population
from support.cancellable import run_cancellable
from support.stack import free_ports

ROOT = Path(__file__).parents[2]
SETTINGS = {"ARTCAFE_KEYS_PER_HOUR": "1000000"}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("phases", nargs="*", choices=[*PHASES, []], help=f"any of: {', '.join(PHASES)}")
    parser.add_argument("--tenants", type=int, nargs="+", default=[500, 2_000, 5_000], help="the sizes")
    parser.add_argument("--connections", type=int, default=5_000, help="direct, over all organizations")
    parser.add_argument("--logins", type=int, default=500, help="how many of them log in by the callout")
    parser.add_argument("--sockets", type=int, default=300, help="organizations with a WebSocket")
    parser.add_argument("--plan", default="enterprise")
    parser.add_argument("--minutes", type=float, default=10, help="it ends after this time")
    parser.add_argument("--directory", type=Path, default=ROOT / ".dev/scale", help="data of the stack")
    parser.add_argument("--json", type=Path, default=ROOT / ".dev/scale.json")
    return parser.parse_args()


async def measure(machine, population, given, figures):
    """Add the figures of one size to `figures`, by name."""
    for name in given.phases or PHASES:
        async for values in PHASES[name](machine, population, given):
            figures.update(values)
            report.print_figures(values)


async def main(given):
    stack = Stack(given.directory, free_ports(), settings=dict(SETTINGS))
    began, results = time.monotonic(), []
    try:
        async with asyncio.timeout(given.minutes * 60) as limit:
            await stack.up()
            machine, population = Machine(stack), Population(stack, given.plan)
            for tenants in given.tenants:
                print(f"== {tenants:,} organizations", flush=True)
                results.append({"tenants": tenants, "created_s": await population.grow(tenants)})
                await measure(machine, population, given, results[-1])
    except TimeoutError:
        if not limit.expired():
            raise
        print(f"ended after {given.minutes} minutes; the rest was not measured", flush=True)
    finally:
        await stack.down()
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=2))
    report.print_table(results)
    print(f"took {time.monotonic() - began:.0f} s", flush=True)


def run():
    try:
        run_cancellable(main(parse_arguments()))
    except AlreadyRunning as error:
        sys.exit(f"scale: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped")


if __name__ == "__main__":
    run()
