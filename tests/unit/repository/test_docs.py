"""The documentation matches the code, as far as a program can check."""

import ast
import importlib
import re
import shlex

import pytest
import typer

from artcafe_common.cli.__main__ import app
from docs.generate.blocks import BLOCKS, ROOT, names_in, pages, regenerate
from docs.generate.client_errors import CLIENT_FILES
from docs.generate.declarations import every_frame, every_route, every_setting

# Litestar 2 warns of styles of declaring parameters that end with its version 3.
pytestmark = pytest.mark.filterwarnings(
    "ignore::litestar.exceptions.base_exceptions.LitestarDeprecationWarning"
)
DOCUMENTS = pages()
PATHS = re.compile(r"(?<![\w/.])(?:libs|services|tests|docs|deploy|\.ci)/[\w./-]*\w")
COMMANDS = typer.main.get_command(app)
MAX_README_LINES = 120


def text_of(name):
    return (ROOT / name).read_text()


def test_every_generated_block_is_on_one_page():
    names = [name for page in DOCUMENTS for name in names_in(page.read_text())]
    assert sorted(names) == sorted(BLOCKS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_generated_blocks_are_up_to_date(document):
    text = document.read_text()
    assert regenerate(text) == text, "run `make docs`"


@pytest.mark.parametrize("path", CLIENT_FILES, ids=lambda path: path.name)
def test_generated_modules_of_the_sdk_are_up_to_date(path):
    text = path.read_text()
    assert CLIENT_FILES[path](text) == text, "run `make docs`"


def test_unknown_or_open_block_is_an_error():
    for text in ("<!-- generated: nothing -->\n<!-- end -->", "<!-- generated: plans -->\n"):
        with pytest.raises(ValueError, match="block"):
            names_in(text)


def test_every_route_is_documented():
    document = text_of("docs/reference/routes.md")
    rest, _ = every_route()
    paths = {
        (method, path.removeprefix("/api/v1"))
        for method, path in rest
        if not path.startswith(("/schema", "/console"))
    }
    headings = set(re.findall(r"^### `([A-Z]+) (/\S+)`$", document, re.MULTILINE))
    assert headings == paths


def test_every_websocket_path_is_documented():
    _, sockets = every_route()
    protocol = text_of("docs/reference/websocket.md")
    assert sockets
    for path in sockets:
        assert f"`{path.removeprefix('/api/v1')}`" in protocol, path


def test_every_frame_is_documented():
    types = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/reference/websocket.md"), re.MULTILINE))
    assert every_frame() <= types


def test_glossary_names_modules_and_classes():
    rows = re.findall(r"^\| (?!term|-)(.+?) \| .+ \| `(.+)` \|$", text_of("docs/glossary.md"), re.MULTILINE)
    terms = [term for term, _ in rows]
    assert len(terms) > 50
    assert terms == sorted(set(terms), key=str.lower)
    for term, path in rows:
        module, _, name = path.rpartition(".")
        if name[0].isupper():
            assert hasattr(importlib.import_module(module), name), term
        else:
            importlib.import_module(path)


def test_settings_and_classes_that_are_named_exist():
    files = [*ROOT.glob("*/*/src/**/*.py"), *ROOT.glob("compose*.yaml")]
    sources = "\n".join(path.read_text() for path in sorted(files))
    known = {variable.env for variable, _ in every_setting()} | set(re.findall(r"ARTCAFE_\w+", sources))
    classes = set(re.findall(r"^class (\w+)", sources, re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text()
        assert set(re.findall(r"ARTCAFE_\w+", text)) <= known, document
        if "internals" in document.parts:
            named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text))
            assert {name for name in named if not name.endswith("Index")} <= classes, document


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_links_exist(document):
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


def test_tests_named_in_the_documents_exist():
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


def test_make_targets_named_in_the_documents_exist():
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"^make ([a-z]+)", document.read_text(), re.MULTILINE)) <= targets
    assert "\nmake test\n" in text_of(".ci/run")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def commands_in(text):
    """The `artcafe` commands of a page: of its code blocks, and those within sentences."""
    blocks = re.findall(r"^ *```(?:sh|bash)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return (
        [re.split(r" [|>&]| \$\(", line)[0] for line in lines if line.startswith("artcafe ")],
        re.findall(r"`(artcafe [a-z][^`]*)`", text.replace("\n", " ")),
    )


def find_command(text):
    """The command that a text names, and the words after it."""
    words = shlex.split(text, comments=True)[1:]
    command = COMMANDS
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        # As in `organization suspend|resume`.
        *others, name = words.pop(0).split("|")
        assert {name, *others} <= set(command.commands), text
        command = command.commands[name]
    return command, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_the_documents_exist_with_their_options(document):
    complete, mentioned = commands_in(document.read_text())
    for text in complete:
        command, words = find_command(text)
        values, excess, _ = command.make_parser(typer.Context(command)).parse_args(words)
        missing = [each.name for each in command.params if each.required and values.get(each.name) is None]
        assert (excess, missing) == ([], []), text
    for text in mentioned:
        command, words = find_command(text)
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, text
