"""The table, for the terminal and for docs/internals/performance.md."""

import datetime as dt
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil

from bench.result import Result

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEADINGS = ["row", "what", "ours", "reference", "ratio", "limit of ours", "note"]
PACKAGES = ("uvicorn", "uvloop", "websockets", "litestar", "nats-py", "picows")


def circumstances(world, *, quick):
    """The machine, the versions, the date."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    server = Path(sys.executable).parent / "nats-server"
    told = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} processors ({model[1] if model else platform.machine()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "nats-server": told.strip().removeprefix("nats-server: ").removeprefix("v"),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "runs": "one of each" if quick else "medians of three",
        "open files": f"{world.generator.files:,}",
    }


def markdown(results, about):
    """The part of the document between its marks."""
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", "nats-server", *PACKAGES))
    head = (about["date"], about["machine"], versions, about["runs"])
    lines = [
        f"{'; '.join(head)}; at most {about['open files']} open files a process.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    lines += ["| " + " | ".join(result.cells()) + " |" for result in results]
    return "\n".join(lines)


def merged(path, results, rows):
    """These results, with those of other rows from an earlier run; in the order of the rows."""
    kept = [Result(**{k: v for k, v in each.items() if k != "ratio"}) for each in _read(path)["results"]]
    new = {result.row for result in results}
    order = [name.replace("fanout", "fan-out") for name in rows]
    everything = [result for result in kept if result.row not in new] + results
    return sorted(everything, key=lambda result: order.index(result.row))


def _read(path):
    return json.loads(path.read_text()) if path.exists() else {"results": []}


def write_document(path, text):
    """Put the table between the marks and leave the rest as it is."""
    before, _, rest = (path.read_text() if path.exists() else "").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def write_json(path, results, about):
    """Everything, for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "results": [each.as_json() for each in results]}, indent=2))


def say(result):
    """One line on the terminal."""
    row, what, ours, reference, ratio, limit, note = result.cells()
    tail = f", {ratio} of {reference}" if ratio else f"; {reference}" if reference else ""
    print(f"{row:9} {what}: {ours}{tail}\n{'':9} limit: {limit or '-'} {note}", flush=True)
