"""One line of the results table."""

from dataclasses import asdict, dataclass, field
from statistics import median


@dataclass
class Result:
    """One line of the table; `better` says whether more or less is better."""

    row: str
    what: str
    unit: str
    ours: float
    reference: float | None = None
    of: str = ""
    limit: str = ""
    note: str = ""
    better: str = "more"
    runs: list = field(default_factory=list)

    @property
    def ratio(self):
        return self.ours / self.reference if self.reference else None

    def as_json(self):
        return {**asdict(self), "ratio": self.ratio}

    def cells(self):
        reference = f"{format_number(self.reference)} ({self.of})" if self.reference is not None else self.of
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else ""
        return [
            self.row,
            self.what,
            f"{format_number(self.ours)} {self.unit}",
            reference,
            ratio,
            self.limit,
            self.note,
        ]


def format_number(value):
    """Three significant digits, or whole numbers from 100 on."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median_run(runs):
    """The complete record of the run with the median rate."""
    finished = sorted((run for run in runs if run["value"] is not None), key=lambda run: run["value"])
    if not finished:
        return {"value": float("nan"), "limit": "", "exact": False}
    return finished[(len(finished) - 1) // 2]


def describe_losses(ours, reference=()):
    """A note about runs with lost or duplicate messages; empty if there are none."""
    notes = []
    for whose, runs in (("of ours", ours), ("of the reference", reference)):
        failed = sum(not run["exact"] for run in runs)
        if failed:
            notes.append(f"**{failed} of {len(runs)} runs {whose} with lost or doubled messages**")
    return ", ".join(notes)


def compare_rates(row, what, unit, ours, reference, of, *, cost_of="", note=""):
    """The result of runs of ours and of a reference; processor time is given for each `cost_of`, such as a delivery."""
    notes = (
        describe_losses(ours, reference),
        describe_cpu(ours, reference, cost_of) if cost_of else "",
        note,
        f"reference: {median_run(reference)['limit']}",
    )
    return Result(
        row=row,
        what=what,
        unit=unit,
        ours=median_run(ours)["value"],
        reference=median_run(reference)["value"],
        of=of,
        limit=median_run(ours)["limit"],
        note="; ".join(filter(None, notes)),
        runs=[ours, reference],
    )


async def measure_in_turn(repeats, kinds, measure):
    """The runs of each kind, by the kind. They alternate, so that a change of the machine's speed meets all."""
    runs = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, measured in runs.items():
            measured.append(await measure(kind))
    return runs


def describe_cpu(ours, reference, unit):
    """A note about the processor time of gateway and broker, which does not depend on the generator."""
    own, other = (median(run["cpu_us"] for run in runs) for runs in (ours, reference))
    return f"processor time of gateway and broker: {own:.2f} µs a {unit}, reference {other:.2f}"


__all__ = [
    "Result",
    "compare_rates",
    "describe_losses",
    "format_number",
    "measure_in_turn",
    "median",
    "median_run",
]
