"""The AWS emulator (DynamoDB, Cognito, S3), with serialized requests.

moto applies a conditional write in several steps, and its threaded server would interleave two of
them, which DynamoDB never does. So a lock serializes all requests. It ignores the tokens of repeated transactions, so
those are answered here. It copies whole tables for each transaction and sorts them for each query; `TouchedItems`
and `query_partition` need no longer for a large table than for a small one. It looks up each attribute of each item
in the service's description, which takes 1.5 ms an item; `write_response` does not. Its server closes the connection after
each request; `KeepAliveHandler` does not.

With `--state FILE` it continues with what it had when it was stopped; a kill loses the last second. This file imports
nothing of the project, since compose.yaml runs it with the image of moto.
"""

import argparse
import base64
import copy
import hashlib
import inspect
import io
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import moto.backends
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from moto.backends import get_backend
from moto.core.responses import ActionContext
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoResult
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

SAVED = ("dynamodb", "cognito-idp", "s3")
SAVE_INTERVAL_S = 1.0
# Saving blocks requests, so it takes at most this share of the time.
MAX_SAVING_SHARE = 0.05
TRANSACTION = "TransactWriteItems"
# As long as DynamoDB remembers a transaction's token.
TOKEN_AGE_S = 600
TOKEN_MISMATCH = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
        "Message": "The request uses the same client token as a previous, but non-identical request.",
    }
).encode()
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# The results of these are what the response contains.
READS_OF_ITEMS = {"BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"}
READS = ("BatchGet", "Describe", "Get", "List", "Query", "Scan", "TransactGet")


class SavedState:
    """The state of the emulated services in a file."""

    def __init__(self, path: Path, lock: threading.Lock) -> None:
        self.changed = False
        self._path = path
        self._lock = lock

    def load(self) -> None:
        """Continue with the state in the file, if there is one."""
        if not self._path.exists():
            return
        # The file is this program's own.
        for service, account, region, attributes in pickle.loads(self._path.read_bytes()):  # noqa: S301
            _backends(service)[account][region].__dict__.update(attributes)

    def save(self) -> None:
        """Write the state, if it has changed."""
        with self._lock:
            if not self.changed:
                return
            self.changed = False
            state = [
                (service, account, region, backend.__dict__)
                for service in SAVED
                for account, regions in _backends(service).items()
                for region, backend in regions.items()
            ]
            data = io.BytesIO()
            _StatePickler(data).dump(state)
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(data.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def save_repeatedly(self) -> None:
        """Save until the process ends."""
        while True:
            started = time.monotonic()
            self.save()
            time.sleep(max(SAVE_INTERVAL_S, (time.monotonic() - started) / MAX_SAVING_SHARE))


class Transactions:
    """Executes calls; a transaction that is repeated with its token is not executed again, as in DynamoDB."""

    def __init__(self, application: Application) -> None:
        self._application = application
        # When each was executed, and the digest of its arguments, by the caller and the token.
        self._executed: dict[tuple[str, str], tuple[float, str]] = {}

    def __call__(
        self, operation: str, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> list[bytes]:
        """The response to a call."""
        if operation != TRANSACTION:
            return list(self._application(environ, start_response))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        token = json.loads(body).get("ClientRequestToken", "")
        key = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0], token
        digest = hashlib.sha256(body).hexdigest()
        if token and (status := self._find(key, digest)):
            start_response(status, [("Content-Type", "application/x-amz-json-1.0")])
            return [b"{}" if status.startswith("200") else TOKEN_MISMATCH]
        statuses: list[str] = []

        def on_start(status: str, *arguments: Any) -> Any:
            statuses.append(status)
            return start_response(status, *arguments)

        response = list(self._application(environ, on_start))
        if statuses[-1].startswith("200"):
            self._executed[key] = (time.monotonic(), digest)
        return response

    def _find(self, key: tuple[str, str], digest: str) -> str:
        for known, (executed_at, _) in list(self._executed.items()):
            if executed_at > time.monotonic() - TOKEN_AGE_S:
                break
            del self._executed[known]
        if key not in self._executed:
            return ""
        return "200 OK" if self._executed[key][1] == digest else "400 Bad Request"


class KeepAliveHandler(MotoRequestHandler):
    """Keeps connections open, as AWS does. A new one for each request costs more than most requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        environ = self.make_environ()
        # Read to its end, so that the next request begins after it.
        is_chunked = environ.get("wsgi.input_terminated", False)
        length = -1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        status, headers = "500 Internal Server Error", [("Content-Type", "text/plain")]

        def start_response(*started: Any) -> None:
            nonlocal status, headers
            status, headers = started[:2]

        try:
            body = b"".join(self.server.app(environ, start_response))  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - whatever the emulator raises is its answer
            body = traceback.format_exc().encode()
            print(body.decode(), file=sys.stderr, flush=True)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing of a request."""


class TouchedItems:
    """The items that a transaction names, as they were before it. moto copies their tables instead."""

    def __init__(self, backend: Any, transaction: list[dict[str, Any]]) -> None:
        self._items = []
        for _, arguments in (item for write in transaction for item in write.items()):
            table = backend.tables.get(arguments.get("TableName"))
            attributes = arguments.get("Key") or arguments.get("Item") or {}
            names = (
                []
                if table is None
                else [name for name in (table.hash_key_attr, table.range_key_attr) if name]
            )
            if names and all(name in attributes for name in names):
                keys = [DynamoType(attributes[name]) for name in names]
                self._items.append((table, keys, copy.deepcopy(table.get_item(*keys))))

    def restore(self) -> None:
        """Undo the transaction."""
        for table, keys, item in self._items:
            if item is None:
                table.delete_item(keys[0], keys[1] if len(keys) > 1 else None)
            elif len(keys) > 1:
                table.items[keys[0]][keys[1]] = item
            else:
                table.items[keys[0]] = item


def make_faster() -> None:
    """Replace what moto does with whole tables."""
    write_items, query = DynamoDBBackend.transact_write_items, Table.query
    serialize = DynamoResult.execute_result
    # It looks at the directories of all services for each request.
    modules = tuple(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: modules
    signature = inspect.signature(query)

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        touched = TouchedItems(backend, transact_items)
        try:
            write_items(backend, transact_items)
        except BaseException:
            touched.restore()
            raise

    def query_partition(table: Table, *arguments: Any, **options: Any) -> Any:
        call = signature.bind(table, *arguments, **options).arguments
        partition = copy.copy(table)
        partition.all_items = lambda: _find(call)  # type: ignore[method-assign]
        return query(partition, *arguments, **options)

    def write_response(result: DynamoResult, context: ActionContext) -> Any:
        if context.operation_model.name not in READS_OF_ITEMS:
            return serialize(result, context)
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(result.result, default=_encode)

    DynamoResult.execute_result = write_response  # type: ignore[assignment, method-assign]
    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[assignment, method-assign]
    # moto's own copies, with which it would undo the transaction, are the tables themselves.
    Table.__deepcopy__ = lambda table, _memo: table  # type: ignore[attr-defined]
    Table.query = query_partition  # type: ignore[assignment, method-assign]


def _find(query: Mapping[str, Any]) -> list[Any]:
    """The items of the partition of a table, or of an index, that a query names."""
    items, in_index = query["self"].items, query.get("index_name")
    found = items.values() if in_index else [items[query["hash_key"]]] if query["hash_key"] in items else []
    if query["self"].range_key_attr:
        found = [item for partition in found for item in partition.values()]
        if not in_index:
            # Sorted, they cost moto's own sort one of its slow comparisons each.
            found.sort(key=lambda item: item.range_key.cast_value)
    keys = query.get("hash_key_conditions") or [] if in_index else []
    return [
        item
        for item in found
        if all(name in item.attrs and item.attrs[name] == value for name, value in keys)
    ]


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _backends(service: str) -> Any:
    # Its types list the services by name.
    return cast("Callable[[str], Any]", get_backend)(service)


class _StatePickler(pickle.Pickler):
    """Pickles the keys of user pools too."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, RSAPrivateKey):
            return _load_key, (value.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),)
        return NotImplemented


def _load_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, password=None)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    make_faster()
    application = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()
    state = SavedState(options.state, lock) if options.state else None
    execute = Transactions(application)

    def serialized(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        with lock:
            response = execute(operation, environ, start_response)
            if state is not None and not operation.startswith(READS):
                state.changed = True
            return response

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if state is not None:
        state.load()
        threading.Thread(target=state.save_repeatedly, daemon=True).start()
    try:
        run_simple(options.host, options.port, serialized, threaded=True, request_handler=KeepAliveHandler)
    finally:
        if state is not None:
            state.save()


if __name__ == "__main__":
    main()
