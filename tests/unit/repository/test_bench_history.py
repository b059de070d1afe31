"""The history of the benchmark has one line for each run."""

from bench.history import BEGIN, END, add_line, render_line
from bench.result import Result

LOGIN = Result(row="connects", what="processor time of one login, WebSocket", unit="ms", ours=2.98)
PAIRS = Result(
    row="pairs",
    what="50 publishers, 50 subscribers, each 64 outstanding",
    unit="messages/s",
    ours=60_000,
    reference=400_000,
    of="nats-server's WebSocket",
)


def line(results, commit="abc1234"):
    return render_line(results, date="2026-11-29", commit=commit)


def test_line_has_the_columns_that_were_measured():
    cells = [cell.strip() for cell in line([LOGIN, PAIRS]).strip("|").split("|")]
    assert [cell for cell in cells if cell] == ["2026-11-29", "`abc1234`", "0.15", "2.98"]
    assert line([Result(row="soak", what="10 minutes", unit="MiB", ours=1)]) is None


def test_run_of_a_commit_is_one_line(tmp_path):
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{BEGIN}\n| date | commit |\n|---|---|\n{END}\nafter\n")
    for results, commit in (([LOGIN], "abc1234"), ([PAIRS], "abc1234"), ([PAIRS], "def5678")):
        add_line(path, line(results, commit))
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert text.count("abc1234") == text.count("def5678") == 1
    assert "2.98" not in text
