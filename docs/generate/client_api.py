"""The reference of the Python SDK: the signatures and docstrings of its public names."""

import importlib
import inspect
import re
from enum import Enum
from typing import Any

import msgspec

from docs.generate.markdown import code, sentence, table

_WIDTH = 110
_MODULES = ("artcafe_client", "artcafe_client.sync", "artcafe_client.testing")
_SYNC = ("connect", "SyncClient", "SyncSubscription", "SyncChannel", "SyncPresence")
_ERRORS_LINK = "[error codes](errors.md)"


def reference() -> str:
    """One section for each public name."""
    parts = []
    for name in _MODULES:
        module = importlib.import_module(name)
        names = _SYNC if name.endswith("sync") else module.__all__
        parts.append(f"## {name}\n\n{_text(module.__doc__)}")
        members = {each: getattr(module, each) for each in names}
        errors = {k: v for k, v in members.items() if inspect.isclass(v) and issubclass(v, Exception)}
        parts += [_section(key, value) for key, value in members.items() if key not in errors]
        if errors:
            rows = ((code(key), sentence(inspect.getdoc(value) or "")) for key, value in errors.items())
            parts.append(
                "### Errors\n\n"
                f"`artcafe_client.error_codes` has one subclass of `ServerError` for each of the {_ERRORS_LINK}.\n\n"
                + table(("error", "raised when"), rows)
            )
    return "\n\n".join(parts)


def _section(name: str, value: Any) -> str:
    if not inspect.isclass(value):
        return f"### `{name}`\n\n{_signature(name, value)}\n\n{_text(value.__doc__)}"
    parts = [f"### `{name}`", _text(value.__doc__)]
    if issubclass(value, Enum):
        parts.append("Values: " + ", ".join(code(each.value) for each in value) + ".")
    elif issubclass(value, msgspec.Struct):
        fields = [each for each in msgspec.structs.fields(value) if not each.name.startswith("_")]
        parts.append(
            table(
                ("field", "type", "default"),
                ((code(f.name), code(_type(f.type)), _default(f)) for f in fields),
            )
        )
    parts += [_member(name, key, each) for key, each in vars(value).items() if _is_public(value, key, each)]
    return "\n\n".join(part for part in parts if part)


def _is_public(owner: type, name: str, member: Any) -> bool:
    if name.startswith("_") or isinstance(member, Enum) or issubclass(owner, Enum):
        return False
    # What is for the connection's side of an object is not for programs.
    if name in getattr(owner, "INTERNAL", ()):
        return False
    return isinstance(member, property) or inspect.isfunction(member)


def _member(owner: str, name: str, member: Any) -> str:
    title = f"#### `{owner}.{name}`"
    if isinstance(member, property):
        returns = inspect.signature(member.fget).return_annotation if member.fget else ""
        return f"{title}\n\n```python\n{name}: {_type(returns)}\n```\n\n{_text(member.__doc__)}"
    return f"{title}\n\n{_signature(name, member)}\n\n{_text(member.__doc__)}"


def _signature(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [str(each) for key, each in signature.parameters.items() if key != "self"]
    star = next((i for i, e in enumerate(signature.parameters.values()) if e.kind is e.KEYWORD_ONLY), None)
    if star is not None and not any(p.startswith("*") for p in parameters):
        offset = 1 if "self" in signature.parameters else 0
        parameters.insert(star - offset, "*")
    prefix = "async def" if inspect.iscoroutinefunction(function) else "def"
    returns = _type(signature.return_annotation)
    line = f"{prefix} {name}({', '.join(map(_clean, parameters))}) -> {returns}"
    if len(line) > _WIDTH:
        inner = "".join(f"    {_clean(each)},\n" for each in parameters)
        line = f"{prefix} {name}(\n{inner}) -> {returns}"
    return f"```python\n{line}\n```"


def _clean(text: str) -> str:
    text = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", re.sub(r"'([^']*)'", r"\1", text))
    return re.sub(r"\b(?:[a-z_]+\.)+([A-Z]\w*)", r"\1", text)


def _type(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, str):
        return _clean(annotation)
    text = (
        annotation.__name__
        if inspect.isclass(annotation) and not hasattr(annotation, "__args__")
        else str(annotation)
    )
    return _clean(text)


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT:
        return ""
    default = field.default
    return code(_clean(str(default.value if isinstance(default, Enum) else default)))


def _text(doc: "str | None") -> str:
    return inspect.cleandoc(doc or "")
