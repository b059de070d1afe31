"""`artcafe login` and `artcafe logout`, and the session file."""

import json
import time

from support.actors import PASSWORD, User
from support.cli import Terminal, assert_error_line, file_mode


async def test_wrong_password_is_rejected_and_stores_no_session(stack, tmp_path):
    user = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    result = await terminal.run("login", user.email, ARTCAFE_PASSWORD="wrong")
    assert result.code == 3
    assert_error_line(result, "invalid_credentials")
    assert not terminal.session_file.exists()
    assert (await terminal.run("clients", "list")).code == 3


async def test_session_file_is_private_and_deleted_on_logout(stack, tmp_path):
    user = await User.sign_up(stack)
    terminal = Terminal(tmp_path, ARTCAFE_API=stack.api)
    # Without a terminal there is no password prompt: it is read from standard input or the environment.
    assert (await terminal.run("login", user.email)).code == 2
    result = await terminal.run("login", user.email, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.code == 0, result.err
    assert PASSWORD not in result.out + result.err
    assert (file_mode(terminal.session_file), file_mode(terminal.session_file.parent)) == (0o600, 0o700)
    # The session stores the API's address.
    terminal.environ.pop("ARTCAFE_API")
    assert (await terminal.run_json("accounts", "list")) == {
        "accounts": [],
        "next_cursor": None,
        "current": None,
    }
    assert (await terminal.run("logout")).code == 0
    assert not terminal.session_file.exists()
    result = await terminal.run("accounts", "list")
    assert result.code == 2
    assert "ARTCAFE_API" in result.err


async def test_token_is_sent_only_to_its_own_api(terminal):
    result = await terminal.run("clients", "list", "--api", "http://127.0.0.1:1")
    assert result.code == 3
    assert "artcafe login" in result.err


async def test_expired_token_is_refreshed(terminal):
    session = json.loads(terminal.session_file.read_text())
    terminal.session_file.write_text(json.dumps({**session, "expires_at": time.time() - 1}))
    await terminal.run_json("clients", "list")
    renewed = json.loads(terminal.session_file.read_text())
    assert renewed["expires_at"] > time.time()
    assert file_mode(terminal.session_file) == 0o600
    # So is a token that the server rejects.
    terminal.session_file.write_text(json.dumps({**renewed, "access_token": "stale"}))
    await terminal.run_json("clients", "list")
    # Without a valid refresh token, the error says how to log in.
    terminal.session_file.write_text(
        json.dumps({**renewed, "access_token": "stale", "refresh_token": "stale"})
    )
    result = await terminal.run("clients", "list")
    assert result.code == 3
    assert "artcafe login" in result.err
