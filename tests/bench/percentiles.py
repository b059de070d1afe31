"""Percentiles."""


def percentile(values, fraction):
    """The value below which `fraction` of all values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else float("nan")
