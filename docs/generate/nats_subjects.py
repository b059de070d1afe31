"""The table of the NATS subjects in an organization's account, from the AsyncAPI document."""

from docs.generate.declarations import asyncapi_document
from docs.generate.markdown import code, one_line, sentence
from docs.generate.markdown import table as markdown_table

_DIRECTIONS = {"receive": "you publish", "send": "you subscribe"}


def table() -> str:
    """One row for each subject that the broker's clients use."""
    document = asyncapi_document()
    rows = []
    for operation in document["operations"].values():
        channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
        if channel["servers"][0]["$ref"] != "#/servers/broker":
            continue
        (key,) = channel["messages"]
        message = document["components"]["messages"][key]
        examples = [one_line(each["payload"]) for each in message.get("examples", [])]
        payload = code(examples[0]) if examples else sentence(message["summary"])
        rows.append(
            (
                code(channel["address"]),
                _DIRECTIONS[operation["action"]],
                sentence(operation["summary"]),
                payload,
            )
        )
    return markdown_table(("subject", "direction", "description", "payload"), rows)
