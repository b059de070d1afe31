"""The error of a backup or a restoration that fails."""


class BackupFailed(Exception):
    """A backup could not be made, verified or restored; the message is one line for the operator.

    `unavailable`: a server did not answer, so that a repetition may succeed.
    """

    def __init__(self, detail: str, *, unavailable: bool = False) -> None:
        super().__init__(detail)
        self.unavailable = unavailable
