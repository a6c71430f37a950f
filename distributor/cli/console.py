"""How the command line speaks: tables for people, one JSON document for programs, problems on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

if TYPE_CHECKING:
    from distributor.app import App
    from distributor.config import Config
    from distributor.errors import Problem

F = TypeVar("F", bound=Callable[..., Any])

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="On a first run: what was published from then on is new."),
]
CONFIG = Path("distributor.toml")


class Commands(typer.Typer):
    """A set of commands, the examples in whose help stand on lines of their own."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        register = super().command(name, **settings)

        def keep(function: F) -> F:
            # Click joins the lines of a paragraph, but for one that begins with a backspace.
            function.__doc__ = re.sub(
                r"^( *)(?=Examples?:$)", "\\1\b\n\\1", function.__doc__ or "", flags=re.MULTILINE
            )
            return register(function)

        return keep


class State:
    """What the options before the command said."""

    config = CONFIG


def config() -> Config:
    """The configuration that this run is about."""
    from distributor import config as configuration

    return configuration.load(State.config)


def settings(*, max_age: timedelta | None = None) -> Config:
    """The configuration of this run; *max_age* goes before that of every channel."""
    found = config()
    if max_age is None:
        return found
    channels = {name: c.model_copy(update={"max_age": max_age}) for name, c in found.channels.items()}
    return found.model_copy(update={"channels": channels})


@contextmanager
def app(*, rehearsal: bool = False, max_age: timedelta | None = None) -> Iterator[App]:
    """The program on this run's configuration, its database brought up to date.

    In a *rehearsal* all that it writes is undone. *max_age* goes before that of every channel.
    """
    from distributor.app import App

    if rehearsal:
        with App.rehearsing(config()) as rehearsed:
            yield rehearsed
        return
    opened = App(settings(max_age=max_age))
    try:
        opened.open()
        yield opened
    finally:
        opened.close()


def say(text: str = "", *, style: str | None = None) -> None:
    """A line for a person."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(harmless(text), markup=False, style=style)


def complain(text: str) -> None:
    """A line on standard error."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(harmless(text), markup=False)


def harmless(text: str) -> str:
    """*text* without what would give orders to a terminal, or could not be encoded for one."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def complain_of(problems: Iterable[Problem]) -> None:
    for problem in problems:
        complain(str(problem))


def document(value: Any) -> None:
    """One JSON document, times in RFC 3339."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    text = orjson.dumps(value, option=options, default=str).decode()
    sys.stdout.write(text + "\n")


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> None:
    """A table as wide as the terminal, or as its content where there is none.

    On a narrow terminal the columns named by *wrap* are folded, or all if they are none.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold",
            no_wrap=bool(wrap) and heading not in wrap,
        )
    for row in rows:
        made.add_row(*(Text(harmless(str(cell))) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(made)


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    """A time as the publisher's clock shows it."""
    return value.astimezone(zone).strftime("%Y-%m-%d %H:%M") if value else ""


def confirm(question: str, *, yes: bool) -> None:
    """Ask before anything is written to the world; no answer is a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        complain(f"{question} Nothing was done: there is nobody to ask here, so say --yes.")
        raise typer.Exit(2)
    if not typer.confirm(question):
        complain("Nothing was done.")
        raise typer.Exit(1)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, plain lines elsewhere; call what it gives with how much more is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title, total).advance
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda more: bar.advance(task, more)


class _Lines:
    """Progress as log lines, one for each power of ten and each ten-thousand."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = f" of {total}" if total else ""
        self._done = 0

    def advance(self, more: int) -> None:
        before, self._done = self._done, self._done + more
        if self._done // 10_000 > before // 10_000:
            complain(f"{self._title}: {self._done}{self._total}")


def a_moment(text: str | None) -> datetime | None:
    """A date or time from the command line; without an offset it is UTC.

    Raises:
        typer.BadParameter: it is none.
    """
    from datetime import UTC

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; write 2026-11-20 or 2026-11-20T08:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def a_span(text: str | None) -> timedelta | None:
    """A duration from the command line, as the configuration has them.

    Raises:
        typer.BadParameter: it is none.
    """
    from pydantic import TypeAdapter, ValidationError

    if text is None:
        return None
    try:
        found: timedelta = TypeAdapter(timedelta).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is no span of time; write P2D or PT6H") from None
    return found


def known(name: str, names: Iterable[str]) -> None:
    """Make sure that *name* is one of those in the configuration.

    Raises:
        NotFound: it is none.
    """
    from distributor.errors import NotFound

    names = list(names)
    if name not in names:
        raise NotFound(
            f"there is no {name!r} in the configuration; there are: {', '.join(names) or '(none)'}"
        )


def several(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def report(app: App, campaigns: Sequence[int]) -> None:
    """What became of campaigns; ends with code 1 when some of it failed or is unclear."""
    balances = {campaign: app.balance(campaign) for campaign in campaigns}
    names = ["accepted"]  # and of the rest, what there is
    names += [name for name in REST if any(getattr(balance, name) for balance in balances.values())]
    headings = [name.capitalize() for name in names]
    table(
        ("No.", "Channel", "State", *headings),
        [
            (id_, found.channel, found.state, *(getattr(balance, name) for name in names))
            for id_, balance in balances.items()
            if (found := app.campaign(id_))
        ],
        right=("No.", *headings),
    )
    for id_ in campaigns:
        for batch in app.open_batches(id_):
            complain(
                f"campaign {id_}, {several(batch.size, 'recipient')}: "
                f"{batch.state}: {batch.reason or 'waiting'}"
            )
    if any(balance.queued or balance.sending for balance in balances.values()):
        for one in app.standings():
            complain(f"{one.provider} takes nothing until {moment(one.until, app.zone)}: {one.reason}")
    if any(balance.refused or balance.unclear for balance in balances.values()):
        raise typer.Exit(1)


REST = ("queued", "sending", "refused", "skipped", "unclear", "excluded")
