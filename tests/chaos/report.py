"""The table of a run, for the terminal and for docs/internals/reliability.md."""

BEGIN, END = "<!-- chaos:begin -->", "<!-- chaos:end -->"
HEADINGS = [
    *("fault", "traffic", "acknowledged", "lost", "doubled", "out of order", "counts off"),
    *("longest gap", "revocation", "slowest read", "slowest write", "errors"),
]
# What a run must show; core NATS delivers at most once, so its subjects may lose messages.
MAX_REVOCATION_S = 1.0
MAX_GAP_S = 3.0
MAX_WRITE_S = 2.0
AT_MOST_ONCE = "direct NATS subject"


def list_violations(found):
    """The promises that a row breaks."""
    broken = []
    if found.lost and found.traffic != AT_MOST_ONCE:
        broken.append(f"{found.lost} lost")
    if found.doubled:
        broken.append(f"{found.doubled} doubled")
    if found.counts_off:
        broken.append(f"counts off by {found.counts_off}")
    if (found.revocation_s or 0) > MAX_REVOCATION_S:
        broken.append(f"revoked after {found.revocation_s:.1f} s")
    if (found.longest_gap_s or 0) > MAX_GAP_S and found.traffic == AT_MOST_ONCE:
        broken.append(f"no message for {found.longest_gap_s:.1f} s")
    if (found.slowest_write_s or 0) > MAX_WRITE_S:
        broken.append(f"a write took {found.slowest_write_s:.1f} s")
    return [f"{found.fault}, {found.traffic}: {each}" for each in broken]


def render_table(results, about):
    lines = [
        about,
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|" + "--:|" * (len(HEADINGS) - 3) + "---|",
    ]
    lines += ["| " + " | ".join(render_cells(found)) + " |" for found in results]
    broken = [each for found in results for each in list_violations(found)]
    lines += ["", "Not as promised:" if broken else "Everything was as promised."]
    lines += [""] * bool(broken) + [f"- {each}" for each in broken]
    return "\n".join(lines)


def render_cells(found):
    counts = (found.acknowledged, found.lost, found.doubled, found.disordered, found.counts_off)
    seconds = (found.longest_gap_s, found.revocation_s, found.slowest_read_s, found.slowest_write_s)
    return [
        found.fault,
        found.traffic,
        *("" if each is None else f"{each:,}" for each in counts),
        *("" if each is None else f"{each:.2f} s" for each in seconds),
        ", ".join(f"{kind}: {count}" for kind, count in sorted(found.errors.items())),
    ]
