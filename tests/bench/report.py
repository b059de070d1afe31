"""Prints the results and writes them as JSON and into docs/internals/performance.md."""

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


def describe_environment(environment, *, quick):
    """The date, the machine and the versions."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    server = Path(sys.executable).parent / "nats-server"
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} processors ({model[1] if model else platform.machine()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "nats-server": version.strip().removeprefix("nats-server: ").removeprefix("v"),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "runs": "one of each" if quick else "medians of three",
        "open files": f"{environment.generator.open_files_limit:,}",
    }


def render_table(results, about):
    """The Markdown between the markers of the document."""
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


def merge_results(path, results, rows):
    """These results and the stored results of all other rows, in the order of `rows`."""
    stored = [Result(**{k: v for k, v in each.items() if k != "ratio"}) for each in _read(path)["results"]]
    new_rows = {result.row for result in results}
    order = [name.replace("fanout", "fan-out") for name in rows]
    merged = [result for result in stored if result.row not in new_rows] + results
    return sorted(merged, key=lambda result: order.index(result.row))


def _read(path):
    return json.loads(path.read_text()) if path.exists() else {"results": []}


def write_document(path, text):
    """Replace the text between the markers."""
    before, _, rest = (path.read_text() if path.exists() else "").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def write_json(path, results, about):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "results": [each.as_json() for each in results]}, indent=2))


def print_result(result):
    row, what, ours, reference, ratio, limit, note = result.cells()
    tail = f", {ratio} of {reference}" if ratio else f"; {reference}" if reference else ""
    print(f"{row:9} {what}: {ours}{tail}\n{'':9} limit: {limit or '-'} {note}", flush=True)
