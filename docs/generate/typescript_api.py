"""The reference of the TypeScript SDK: the declarations and comments of what its entries export.

It reads the sources as they are formatted: a declaration begins at the beginning of a line, its members are indented by two.
"""

import re
from pathlib import Path
from typing import NamedTuple

from docs.generate.markdown import code, table

SOURCES = Path(__file__).parents[2] / "libs/client-js/src"
_ENTRIES = {
    "@artcafe/client": "index.ts",
    "@artcafe/client/nats": "nats.ts",
    "@artcafe/client/react": "react.ts",
}
_ERRORS_LINK = "[error codes](errors.md)"
_COMMENT = r"(?:(?P<comment>{indent}/\*\*(?:[^*]|\*(?!/))*\*/)\n)?"
_DECLARATION = re.compile(
    _COMMENT.format(indent="")
    + r"export (?:async )?(?P<kind>class|interface|type|function) (?P<name>\w+)(?P<rest>[^\n]*)",
    re.MULTILINE,
)
_MEMBER = re.compile(r"  (?:(?:async|get|readonly) )*(?P<name>[a-z]\w*)[?]?[:(<]")
_EXPORTED = re.compile(
    r"export (?:type )?\{([^}]*)\} from \"\./([\w-]+)\.js\"|export \* from \"\./([\w-]+)\.js\""
)


class Declaration(NamedTuple):
    """What an entry exports: its name, kind, comment, and text from `class` or `interface` on."""

    name: str
    kind: str
    comment: str
    text: str


def reference() -> str:
    """One section for each entry, and each name that it exports."""
    parts = []
    for entry, file in _ENTRIES.items():
        declarations = _exported_by(file)
        errors = [each for each in declarations if " extends " in each.text.split("\n")[0]]
        errors = [each for each in errors if each.name.endswith("Error") or _is_error(each)]
        parts.append(f"## {entry}")
        parts += [_section(each) for each in declarations if each not in errors]
        if errors:
            rows = ((code(each.name), " ".join(each.comment.split())) for each in errors)
            note = f"Each of the server's {_ERRORS_LINK} has a class below `ServerError`, such as `ForbiddenSubject`."
            parts.append(f"### Errors\n\n{note}\n\n{table(('error', 'thrown when'), rows)}")
    return "\n\n".join(parts)


def _is_error(declaration: Declaration) -> bool:
    return bool(re.search(r" extends (?:Artcafe|Server)?Error\b", declaration.text.split("\n")[0]))


def _exported_by(file: str) -> list[Declaration]:
    """What an entry exports, by name; the classes of the error codes are left out."""
    text = (SOURCES / file).read_text()
    found = dict.fromkeys(_declarations(text))
    for names, module, whole in _EXPORTED.findall(text):
        if (module or whole) == "error-codes":
            continue
        declared = _declarations((SOURCES / f"{module or whole}.ts").read_text())
        wanted = {each.strip().removeprefix("type ") for each in names.split(",")} if names else None
        found.update(dict.fromkeys(each for each in declared if wanted is None or each.name in wanted))
    return sorted(found, key=lambda each: each.name.lower())


def _declarations(text: str) -> list[Declaration]:
    declarations = []
    for match in _DECLARATION.finditer(text):
        start = match.start("kind")
        end = _end(text, start, match["kind"])
        declarations.append(
            Declaration(match["name"], match["kind"], _plain(match["comment"]), text[start:end].rstrip())
        )
    return declarations


def _end(text: str, start: int, kind: str) -> int:
    """Where a declaration ends: behind its closing brace, or at its semicolon."""
    if kind == "type":
        return text.index(";\n", start) + 1
    if kind == "function":
        return text.index(" {\n", start)
    first = text.index("\n", start)
    if text[start:first].rstrip().endswith("{}"):
        return first
    return text.index("\n}", start) + 2


def _section(declaration: Declaration) -> str:
    name, kind, comment, text = declaration
    if kind == "class":
        parts = [f"### `{name}`", comment, *(_members(name, text))]
    else:
        parts = [f"### `{name}`", comment, _block(text if kind != "function" else f"{text};")]
    return "\n\n".join(part for part in parts if part)


def _members(owner: str, text: str) -> list[str]:
    sections: list[str] = []
    lines = text.split("\n")
    comment = 0
    for position, line in enumerate(lines):
        if line.startswith("  /**"):
            comment = position
        match = _MEMBER.match(line)
        if match is None or match["name"] == "constructor":
            continue
        doc = _comment_before(lines, comment, position)
        if "@internal" in doc:
            continue
        signature = _signature(lines[position:])
        sections.append(f"#### `{owner}.{match['name']}`\n\n{_block(signature)}")
        if doc:
            sections.append(_plain(doc))
    return sections


def _comment_before(lines: list[str], start: int, position: int) -> str:
    """The comment that ends on the line before a member; empty if there is none."""
    return "\n".join(lines[start:position]) if lines[position - 1].rstrip().endswith("*/") else ""


def _signature(lines: list[str]) -> str:
    """A member from its first line to the one that opens its body or ends it, without both."""
    end = next(
        i for i, line in enumerate(lines) if line.endswith(";") or (line.endswith(" {") and line[2] != " ")
    )
    text = " ".join(line.strip() for line in lines[: end + 1])
    text = re.sub(r"^async ", "", text.removesuffix(" {").removesuffix(";"))
    return f"{text.replace('( ', '(').replace(', )', ')')};"


def _block(text: str) -> str:
    return f"```ts\n{text}\n```"


def _plain(comment: "str | None") -> str:
    """A comment's text."""
    if not comment:
        return ""
    lines = comment.strip().removeprefix("/**").removesuffix("*/").split("\n")
    return "\n".join(line.strip().removeprefix("*").strip() for line in lines).strip()
