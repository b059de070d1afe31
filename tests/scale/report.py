"""Prints figures as they are measured, and at the end how they grow."""


def print_figures(values):
    for name, value in values.items():
        print(f"  {name:28} {_format(value)}", flush=True)


def print_table(results):
    """One line for each figure: its value at each size, and by how much it grew for each 1,000 organizations."""
    if not results:
        return
    names = [name for name, value in results[0].items() if isinstance(value, int | float)]
    header = [f"{each['tenants']:,}" for each in results]
    print(f"{'':28} " + " ".join(f"{each:>10}" for each in [*header, "per 1,000"]))
    for name in names[1:]:
        values = [each.get(name) for each in results]
        cells = [_format(each) for each in [*values, _slope(results, name)]]
        print(f"{name:28} " + " ".join(f"{each:>10}" for each in cells))


def _slope(results, name):
    first, last = results[0], results[-1]
    grown = (last["tenants"] - first["tenants"]) / 1_000
    return (last[name] - first.get(name, 0)) / grown if grown and name in last else None


def _format(value):
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else f"{value}"
