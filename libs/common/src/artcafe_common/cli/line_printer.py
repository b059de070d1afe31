"""Prints results one after another, until there are enough or nobody reads them any more."""

import os
import sys
from typing import Any

from artcafe_common.cli import output


class StopPrinting(Exception):
    """Enough results were printed, or nobody reads them any more."""


class LinePrinter:
    """Prints one line for each result; `count` of them, 0 for all."""

    def __init__(self, count: int, *, as_json: bool) -> None:
        self.printed = 0
        self._count = count
        self._as_json = as_json

    def print(self, document: Any, line: str) -> None:
        """Print a result as JSON or as a line for people. Raises StopPrinting after the last one."""
        try:
            if self._as_json:
                output.print_json(document)
            else:
                output.print_line(line)
        except BrokenPipeError:
            # The reader of standard output ended, for example `| head`; this is not a lost connection.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise StopPrinting from None
        self.printed += 1
        if self.printed == self._count:
            raise StopPrinting
