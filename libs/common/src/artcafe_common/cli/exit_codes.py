"""How a command ends: its exit code, and one line that says why."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What programs may rely on; 130 is Ctrl-C, as in every shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5


class Failure(Exception):
    """The command's end; `code` is the API's stable one, where the API spoke."""

    def __init__(
        self, detail: str, exit_code: ExitCode = ExitCode.FAILED, *, code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self._request_id = request_id

    @property
    def line(self) -> str:
        """What stands on standard error."""
        known = [self.code, f"request {self._request_id}" if self._request_id else ""]
        behind = ", ".join(filter(None, known))
        text = " ".join(str(self).split())
        return f"{text} ({behind})" if behind else text


# Refusals of a WebSocket bear a code and no status.
_BY_CODE = {
    "authentication_failed": ExitCode.DENIED,
    "forbidden_subject": ExitCode.DENIED,
    "broker_unavailable": ExitCode.UNAVAILABLE,
    "server_busy": ExitCode.UNAVAILABLE,
    "service_unavailable": ExitCode.UNAVAILABLE,
    "store_unavailable": ExitCode.UNAVAILABLE,
    "deadline_exceeded": ExitCode.UNAVAILABLE,
}


def exit_for(status: int) -> ExitCode:
    """The exit code for an error of the API."""
    if status in (401, 403):
        return ExitCode.DENIED
    if status == 404:  # noqa: PLR2004 - not found
        return ExitCode.NOT_FOUND
    return ExitCode.UNAVAILABLE if status in (502, 503, 504) else ExitCode.FAILED


def exit_for_code(code: str) -> ExitCode:
    """The exit code for a refusal that has no status."""
    return _BY_CODE.get(code, ExitCode.FAILED)
