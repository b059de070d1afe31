"""The table of a run, for the terminal and for docs/internals/reliability.md."""

HEADINGS = [
    *("fault", "traffic", "acknowledged", "lost", "doubled", "out of order", "overcounted", "uncounted"),
    *("longest gap", "revocation", "slowest read", "slowest write", "errors"),
]
# What a run must show; core NATS delivers at most once, so its subjects may lose messages.
MAX_REVOCATION_S = 1.0
MAX_GAP_S = 3.0
MAX_WRITE_S = 2.0
# Who is connected to a gateway that hangs waits for it.
HUNG_GATEWAY = "pause gateway"
AT_MOST_ONCE = "direct NATS subject"
# What the connections of a node sent since they were last read, when it fails: 0.5 s at 80 messages a second, and 1.5 s
# at 40. Nothing may be missing when another part fails.
MAX_UNCOUNTED = {"usage counts, gateways": 40, "usage counts, direct": 60}


def list_violations(found):
    """The promises that a row breaks."""
    broken = []
    if found.lost and found.traffic != AT_MOST_ONCE:
        broken.append(f"{found.lost} lost")
    if found.doubled:
        broken.append(f"{found.doubled} doubled")
    if found.overcounted:
        broken.append(f"{found.overcounted} overcounted")
    # A rolling restart ends all three nodes.
    nodes = 3 if "rolling" in found.fault else int("nats-" in found.fault)
    if (found.uncounted or 0) > MAX_UNCOUNTED.get(found.traffic, 0) * found.rounds * nodes:
        broken.append(f"{found.uncounted} uncounted")
    if (found.revocation_s or 0) > MAX_REVOCATION_S:
        broken.append(f"revoked after {found.revocation_s:.1f} s")
    if (found.longest_gap_s or 0) > MAX_GAP_S and found.traffic == AT_MOST_ONCE:
        broken.append(f"no message for {found.longest_gap_s:.1f} s")
    if (found.slowest_write_s or 0) > MAX_WRITE_S and found.fault != HUNG_GATEWAY:
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
    counts = (
        found.acknowledged,
        found.lost,
        found.doubled,
        found.disordered,
        found.overcounted,
        found.uncounted,
    )
    seconds = (found.longest_gap_s, found.revocation_s, found.slowest_read_s, found.slowest_write_s)
    return [
        found.fault,
        found.traffic,
        *("" if each is None else f"{each:,}" for each in counts),
        *("" if each is None else f"{each:.2f} s" for each in seconds),
        ", ".join(f"{kind}: {count}" for kind, count in sorted(found.errors.items())),
    ]
