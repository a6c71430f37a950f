"""Networks whose addresses are secrets: what is said of calls to them, without the secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from distributor.errors import SendError

SHOWN = 6  # letters of a secret that may stand at the end of a text that was cut


class Hidden(logging.Filter):
    """A secret that is part of an address, kept out of errors and out of the HTTP library's log."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def without(self, text: str) -> str:
        """*text* with an ellipsis for the secret, and for its beginning where the text was cut within it."""
        text = text.replace(self._secret, "…") if self._secret else text
        for length in range(len(self._secret) - 1, SHOWN, -1):
            if text.endswith(self._secret[:length]):
                return text[:-length] + "…"
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.without(record.getMessage()), ()
        return True

    @contextmanager
    def from_logs(self) -> Iterator[None]:
        """For as long as there are connections: httpx logs each address, at INFO (read 2026-11-23)."""
        log = logging.getLogger("httpx")
        log.addFilter(self)
        try:
            yield
        finally:
            log.removeFilter(self)

    @contextmanager
    def from_errors(self) -> Iterator[None]:
        """Around calls: redirections and error pages repeat the address, and causes have it as well."""
        try:
            yield
        except SendError as error:
            error.args = (self.without(str(error)),)
            raise error from None
