"""Parts of the command line that need no server."""

import signal
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.cli import session as sessions
from artcafe_common.cli.doctor_clocks import check_clocks
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.cli.output import escape_unprintable
from artcafe_common.storage.create import installed_tables
from artcafe_common.storage.table_check import compare
from artcafe_common.storage.tables import create_table_request


@given(st.text())
def test_cleaned_text_has_no_control_characters(text):
    assert escape_unprintable(text).isprintable()


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1), (401, 3), (403, 3), (404, 4), (409, 1), (429, 1), (500, 1), (502, 5), (503, 5), (504, 5)],
)
def test_status_maps_to_exit_code(status, code):
    assert exit_code_for_status(status) == code


def test_error_is_printed_on_one_line():
    error = Failure("two\nlines", ExitCode.FAILED, code="name_taken", request_id="r")
    assert error.line == "two lines (name_taken, request r)"


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/api/v1"),
        ("https://api.example.com/", "https://api.example.com/api/v1"),
        ("https://example.com/pubsub/api/v1/", "https://example.com/pubsub/api/v1"),
    ],
)
def test_api_url_is_normalized(url, normalized):
    assert sessions.normalize_api_url(url) == normalized
    assert sessions.normalize_api_url(normalized) == normalized


@pytest.mark.parametrize("bad", ["", "api.example.com", "ftp://x", "https://me:secret@x", "https://x/?a=b"])
def test_invalid_api_url_is_rejected(bad):
    with pytest.raises(Failure) as error:
        sessions.normalize_api_url(bad)
    assert error.value.exit_code is ExitCode.USAGE
    assert "secret" not in error.value.line


def test_session_repr_hides_its_tokens():
    session = sessions.Session(api="https://x/api/v1", access_token="secret", seed="secret")
    assert "secret" not in repr(session)


def test_private_file_is_written_atomically_with_mode_600(tmp_path):
    target = tmp_path / "there" / "file"
    sessions.write_private(target, "one")
    sessions.write_private(target, "two")
    assert target.read_text() == "two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [each.name for each in target.parent.iterdir()] == ["file"]


def test_development_session_requires_a_local_stack(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTCAFE_DEV_DIR", str(tmp_path))
    text = (
        '{"api": "http://%s:1/api/v1", "ws": "", "nats": "", "tenant_id": "t", "user": "u", "token": "t",'
        ' "client": {"client_id": "c", "nkey_seed": "s"}}'
    )
    (tmp_path / "endpoints.json").write_text(text % "127.0.0.1")
    assert sessions.load_dev_session().tenant_id == "t"
    (tmp_path / "endpoints.json").write_text(text % "evil.example.com")
    assert sessions.load_dev_session() is None


@pytest.mark.parametrize(
    ("offset", "status"),
    [(0.0, "ok"), (1.9, "ok"), (-2.1, "warn"), (29.0, "warn"), (31.0, "fail"), (-3600.0, "fail")],
)
def test_clock_offset_sets_the_status(offset, status):
    (found,) = check_clocks({"redis": offset, "nats": 0.0})
    assert found.status == status
    assert (found.remedy == "") == (status == "ok")


def test_missing_clocks_are_a_warning():
    (found,) = check_clocks({})
    assert found.status == "warn"


@pytest.mark.parametrize("spec", installed_tables(), ids=lambda spec: spec.name)
def test_table_check_reports_differences_from_the_declaration(spec):
    as_declared = {**create_table_request(spec, "p-"), "TableStatus": "ACTIVE"}
    assert compare(as_declared, spec, "p-") == []
    other = {**as_declared, "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}]}
    (problem,) = compare(other, spec, "p-")
    assert "a different key" in problem.detail
    bare = {name: value for name, value in as_declared.items() if name != "GlobalSecondaryIndexes"}
    missing = compare(bare, spec, "p-")
    assert len(missing) == len(spec.indexes)
    assert all(f"--table-name p-{spec.name}" in each.remedy for each in missing)


HANGS = """
import asyncio
from artcafe_common.cli import async_runner

async def main():
    print("there", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async_runner.SHUTDOWN_TIMEOUT_S = 0.2
async_runner.run(main())
"""


def test_interrupt_ends_a_hanging_command():
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
