"""Adds a line to the history of results in docs/internals/performance.md, so that a regression shows."""

import subprocess

BEGIN, END = "<!-- history:begin -->", "<!-- history:end -->"
NATIVE = "nats-server's WebSocket"
# The heading of each column: the result, its reference, and whether the ratio is shown instead of the value.
COLUMNS = {
    "fan-out 10": ("10 subscribers", NATIVE, True),
    "100": ("100 subscribers", NATIVE, True),
    "1,000": ("1,000 subscribers", NATIVE, True),
    "10, 32 outstanding": ("10 subscribers, 32 outstanding", NATIVE, True),
    "100, 32 outstanding": ("100 subscribers, 32 outstanding", NATIVE, True),
    "pairs, 64 outstanding": ("50 publishers, 50 subscribers, each 64 outstanding", NATIVE, True),
    "1 outstanding": ("50 publishers, 50 subscribers, each 1 outstanding", NATIVE, True),
    "p99 at 10,000/s": ("p99, 100 subscribers, 10,000 deliveries/s", NATIVE, True),
    "login, ms": ("processor time of one login, WebSocket", None, False),
    "KiB a socket": ("5,000 idle sockets, each with one subscription", None, False),
    "GET, ms": ("GET a client, p50, store in memory", None, False),
}


def read_commit(directory):
    """The abbreviated commit of a checkout, with a plus sign if files were changed; empty outside of one."""
    try:
        commit = _git(directory, "rev-parse", "--short=7", "HEAD")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + "+" * bool(changed)


def _git(directory, *arguments):
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def render_line(results, *, date, commit):
    """The line of a run in the table; None if it has none of the columns."""
    cells = []
    for what, reference, is_ratio in COLUMNS.values():
        found = [each for each in results if each.what == what and reference in (None, each.of)]
        value = found[0].ratio if found and is_ratio else found[0].ours if found else None
        cells.append("" if value is None else f"{value:.3g}")
    if not any(cells):
        return None
    return "| " + " | ".join([date, f"`{commit}`" if commit else "", *cells]) + " |"


def add_line(path, line):
    """Append a line to the table of a document, in place of one of the same commit and day."""
    before, begin, rest = path.read_text().partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        return
    key = line.split("|")[1:3]
    kept = [each for each in table.strip().splitlines() if each.split("|")[1:3] != key]
    path.write_text("".join([before, begin, "\n", "\n".join([*kept, line]), "\n", end, after]))
