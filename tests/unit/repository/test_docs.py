"""The documents tell the truth, as far as a program can see."""

import ast
import re
from pathlib import Path

import pytest

from artcafe_common.plans import LIMITS
from docs.generate import settings
from docs.generate.declarations import every_error, every_frame, every_route

# Litestar 2 warns of styles of declaring parameters that end with its version 3.
pytestmark = pytest.mark.filterwarnings(
    "ignore::litestar.exceptions.base_exceptions.LitestarDeprecationWarning"
)
ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATHS = re.compile(r"(?<![\w/.])(?:libs|services|tests|docs|deploy|\.ci)/[\w./-]*\w")


def text_of(name):
    return (ROOT / name).read_text()


def test_the_table_of_settings_is_the_declarations():
    assert settings.table() in text_of("docs/reference/settings.md"), "run `make docs`"


def test_every_route_is_told_of_and_no_other():
    told = set(re.findall(r"^\| `([A-Z]+) (/\S+)` \|", text_of("docs/reference/rest.md"), re.MULTILINE))
    rest, _ = every_route()
    real = {(method, path.removeprefix("/api/v1")) for method, path in rest if path.startswith("/api/v1")}
    assert told == real


def test_every_websocket_path_is_told_of():
    _, sockets = every_route()
    protocol = text_of("docs/reference/websocket.md")
    assert sockets
    for path in sockets:
        assert f"`{path.removeprefix('/api/v1')}`" in protocol, path


def test_every_frame_is_told_of():
    protocol = text_of("docs/reference/websocket.md")
    missing = [
        tag for tag in every_frame() if f'"type": "{tag}"' not in protocol and f"`{tag}`" not in protocol
    ]
    assert missing == []


def test_every_error_is_told_of_with_its_status():
    told = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", text_of("docs/reference/rest.md"), re.MULTILINE))
    assert told == {error.code: str(error.status) for error in every_error()}


def test_the_plans_are_told_of():
    rows = dict(re.findall(r"^\| ([a-zA-Z ]+?) \| (.+) \|$", text_of("docs/reference/rest.md"), re.MULTILINE))

    def told(field):
        numbers = [getattr(limits, field) for limits in LIMITS.values()]
        return " | ".join("no limit" if number is None else f"{number:,}" for number in numbers)

    assert rows["clients"] == told("clients")
    assert rows["channels"] == told("channels")
    assert rows["messages a month"] == told("messages_per_month")
    assert rows["concurrent connections"] == told("connections")
    assert rows["REST calls a minute"] == told("api_calls_per_minute")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_links_lead_somewhere(document):
    text = document.read_text()
    missing = [path for path in PATHS.findall(text) if not (ROOT / path).exists()]
    links = re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", text)
    missing += [
        link for link in links if link and "://" not in link and not (document.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_anchors_exist(document):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", document.read_text()):
        if "://" in link:
            continue
        target = (document.parent / link).read_text() if link else document.read_text()
        headings = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_the_tests_that_are_named_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of("docs/internals/testing.md"))
    assert len(named) > 20
    rows = re.findall(
        r"^\| (?!-|failure|where|`tests)(.+?) \| (.*) \|$", text_of("docs/internals/testing.md"), re.MULTILINE
    )
    assert [fault for fault, tests in rows if "::" not in tests] == []
    for path, name in named:
        module = ast.parse(text_of(path))
        functions = {
            node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{path}::{name}"


def test_the_targets_of_make_that_are_named_exist():
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"^make ([a-z]+)", document.read_text(), re.MULTILINE)) <= targets
    assert "\nmake test\n" in text_of(".ci/run")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
