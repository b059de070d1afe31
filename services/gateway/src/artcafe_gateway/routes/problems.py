"""`/problems`: one page for each error code; the `type` of a problem document is its path."""

from collections.abc import Callable
from html import escape
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.connection import Request
from litestar.params import FromPath

from artcafe_common.bus.errors import CommandError, all_errors
from artcafe_gateway.http.problems import PROBLEM_TYPES
from artcafe_gateway.http.request import NotFound
from artcafe_gateway.openapi.page import SECURITY_HEADERS

_HTML, _JSON = "text/html", "application/json"
_STYLE = (
    "body { font: 1rem/1.5 sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem } "
    "code { font-size: 1.1em } dt { font-weight: bold; margin-top: 1rem } dd { margin: 0 }"
)


class ProblemType(msgspec.Struct, frozen=True, kw_only=True):
    """One error code: its cause and what a caller can do."""

    type: str
    code: str
    status: int
    title: str
    cause: str
    remedy: str


class ProblemTypes(msgspec.Struct, frozen=True, kw_only=True):
    """Every error code."""

    problems: list[ProblemType]


class ProblemsController(Controller):
    """The error codes with their causes and remedies, as HTML or JSON."""

    path = PROBLEM_TYPES
    tags = ["problems"]

    @get("/", summary="Every error code", response_type=ProblemTypes, page=True)
    async def list_problems(self, request: Request[Any, Any, Any]) -> Response[Any]:
        types = ProblemTypes(problems=[_describe(error) for error in all_errors()])
        return _respond(request, types, lambda: _list_page(types))

    @get("/{code:str}", summary="One error code", response_type=ProblemType, page=True)
    async def get_problem(self, request: Request[Any, Any, Any], code: FromPath[str]) -> Response[Any]:
        found = next((_describe(error) for error in all_errors() if error.code == code), None)
        if found is None:
            raise NotFound
        return _respond(request, found, lambda: _problem_page(found))


def _describe(error: type[CommandError]) -> ProblemType:
    return ProblemType(
        type=f"{PROBLEM_TYPES}/{error.code}",
        code=error.code,
        status=error.status,
        title=error.title,
        cause=" ".join((error.__doc__ or "").split()),
        remedy=error.remedy,
    )


def _respond(
    request: Request[Any, Any, Any], content: msgspec.Struct, render: Callable[[], str]
) -> Response[Any]:
    headers = {**SECURITY_HEADERS, "Vary": "Accept"}
    # A program that names no type gets JSON; browsers name HTML.
    if request.accept.best_match([_JSON, _HTML], default=_JSON) == _JSON:
        return Response(msgspec.json.encode(content), media_type=_JSON, headers=headers)
    return Response(render().encode(), media_type=_HTML, headers=headers)


def _list_page(types: ProblemTypes) -> str:
    items = "".join(
        f'<dt>{each.status} <a href="{escape(each.type)}"><code>{escape(each.code)}</code></a></dt>'
        f"<dd>{escape(each.title)}</dd>\n"
        for each in types.problems
    )
    return _page("Error codes", f"<h1>Error codes</h1>\n<dl>\n{items}</dl>")


def _problem_page(problem: ProblemType) -> str:
    facts = {
        "Status": str(problem.status),
        "Title": problem.title,
        "Cause": problem.cause,
        "Remedy": problem.remedy,
    }
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>\n" for name, text in facts.items() if text)
    return _page(
        problem.code,
        f'<h1><code>{escape(problem.code)}</code></h1>\n<dl>\n{items}</dl>\n<p><a href="{PROBLEM_TYPES}">Error codes</a></p>',
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>ArtCafe PubSub: {escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
