"""Exit codes, and the one-line error of a command that fails."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The stable exit codes; Ctrl-C exits with 130, as in every shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5


class Failure(Exception):
    """A command failed; `code` is the API's error code, if the error came from the API."""

    def __init__(
        self, detail: str, exit_code: ExitCode = ExitCode.FAILED, *, code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self._request_id = request_id

    @property
    def line(self) -> str:
        """The error message for standard error."""
        references = [self.code, f"request {self._request_id}" if self._request_id else ""]
        suffix = ", ".join(filter(None, references))
        text = " ".join(str(self).split())
        return f"{text} ({suffix})" if suffix else text


def exit_code_for_status(status: int) -> ExitCode:
    """The exit code for an HTTP status of the API."""
    if status in (401, 403):
        return ExitCode.DENIED
    if status == 404:  # noqa: PLR2004 - not found
        return ExitCode.NOT_FOUND
    return ExitCode.UNAVAILABLE if status in (502, 503, 504) else ExitCode.FAILED
