"""What a row found, and how it is told."""

from dataclasses import asdict, dataclass, field
from statistics import median


@dataclass
class Result:
    """One line of the table; `better` says which way is good."""

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
        reference = f"{shown(self.reference)} ({self.of})" if self.reference is not None else self.of
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else ""
        return [
            self.row,
            self.what,
            f"{shown(self.ours)} {self.unit}",
            reference,
            ratio,
            self.limit,
            self.note,
        ]


def shown(value):
    """A number with as many digits as it is worth."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def middle(runs):
    """The median run by its rate, with its circumstances."""
    good = sorted((run for run in runs if run["value"] is not None), key=lambda run: run["value"])
    if not good:
        return {"value": float("nan"), "limit": "", "exact": False}
    return good[(len(good) - 1) // 2]


def losses(ours, reference=()):
    """What to say when some run was not complete, and whose it was."""
    said = []
    for whose, runs in (("of ours", ours), ("of the reference", reference)):
        bad = sum(not run["exact"] for run in runs)
        if bad:
            said.append(f"**{bad} of {len(runs)} runs {whose} with lost or doubled messages**")
    return ", ".join(said)


__all__ = ["Result", "losses", "median", "middle", "shown"]
