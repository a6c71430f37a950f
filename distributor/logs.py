"""What the program says while it runs: one line for each decision, JSON for programs and plain for people.

Everything is said through the standard library's logging, ours and that of every library alike, so there is
one pipe: structlog renders it, and what nobody is to read (secrets, readers' addresses) is taken out last.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

from distributor.config import Config, own_addresses, secrets_of
from distributor.masking import hiding, without_addresses

OURS = "distributor"  # others are heard from WARNING on: what they say below that is no decision


class Log:
    """A module's own voice: what happened in a word or two, and the rest in fields.

    Nothing is rendered, and structlog is not even imported (0.1 s), unless somebody listens.
    """

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._say(logging.ERROR, event, fields)

    def _say(self, level: int, event: str, fields: dict[str, object]) -> None:
        if self._log.isEnabledFor(level):
            told = {name: value for name, value in fields.items() if value is not None}
            self._log.log(level, "%s", event, extra={"told": told})


def tell(text: str) -> None:
    """A sentence for whoever runs the program."""
    Log(OURS).info(text)


@contextmanager
def logging_to(stream: TextIO | None, config: Config) -> Iterator[None]:
    """Log as *config* says for as long as the block lasts; to standard error, unless a stream is named."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(config, is_terminal=out.isatty()))
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(config.log.level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])


def _formatter(config: Config, *, is_terminal: bool) -> logging.Formatter:
    import structlog

    is_plain = config.log.format == "plain" or (config.log.format == "auto" and is_terminal)
    own = None if config.log.addresses else own_addresses(config)
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _with_fields,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_plain else "iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Masked(hiding(secrets_of(config)), own),
            _plain if is_plain else structlog.processors.JSONRenderer(_json),
        ]
    )


Fields = MutableMapping[str, Any]


def _with_fields(_logger: Any, _method: str, said: Fields) -> Fields:
    return {**said, **getattr(said["_record"], "told", {})}


class _Masked:
    """Takes out of every field what nobody is to read; *own* addresses stay, and all where it is None."""

    def __init__(self, hide: Callable[[str], str], own: Collection[str] | None) -> None:
        self._hide = hide
        self._own = own

    def __call__(self, _logger: Any, _method: str, said: Fields) -> Fields:
        return {name: self._masked(value) for name, value in said.items()}

    def _masked(self, value: object) -> object:
        if isinstance(value, bool | int | float) or value is None:
            return value
        text = self._hide(str(value)).encode(errors="replace").decode()  # without lone surrogates
        return text if self._own is None else without_addresses(text, own=self._own)


def _json(said: Fields, **_: object) -> str:
    import orjson

    first = {name: said.pop(name) for name in ("at", "level", "event") if name in said}
    return orjson.dumps({**first, **said}, default=str).decode()


def _plain(_logger: Any, _method: str, said: Fields) -> str:
    """A line as a person reads it: `07:00:02 accepted  campaign=12 provider=resend recipients=100`."""
    at, level, event = said.pop("at"), said.pop("level"), said.pop("event")
    traceback = said.pop("exception", None)
    said.pop("logger", None)
    loud = "" if level in ("info", "debug") else f"{level}: "
    fields = " ".join(f"{name}={_quoted(value)}" for name, value in said.items())
    line = _harmless(" ".join((f"{at} {loud}{event}" + (f"  {fields}" if fields else "")).splitlines()))
    return f"{line}\n{_harmless(traceback)}" if traceback else line


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def _harmless(text: str) -> str:
    """Without what would give orders to a terminal, or could not be encoded for one."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
