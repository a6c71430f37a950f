"""`distributor subscribers`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, YesOption, several

if TYPE_CHECKING:
    from datetime import datetime

    from distributor.app import App
    from subscribers.model import Subscriber, Subscription
    from subscribers.transfer import Imported

app = Commands(help="The audience: list, show, add, import, export, erase.", no_args_is_help=True)
Newsletter = Annotated[str | None, typer.Option(metavar="NAME", help="Of this newsletter only.")]
Segment = Annotated[str | None, typer.Option(metavar="NAME", help="Of this segment only.")]
Address = Annotated[str, typer.Argument(help="In upper or lower case.")]


@app.command("list")
def list_(
    newsletter: Newsletter = None,
    segment: Segment = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """List subscribers and their subscriptions.

    Examples:
      distributor subscribers list --newsletter morning
      distributor subscribers list --segment northern
    """
    from itertools import islice

    with console.app() as program:
        if newsletter:
            console.known(newsletter, program.config.newsletters)
        people = islice(program.everybody(newsletter=newsletter, segment=segment), limit)
        if json:
            console.document({"subscribers": list(people)})
            return
        console.table(
            ("Subscriber", "Newsletter", "State", "Cadence", "Topics"),
            [
                (
                    f"{person.address}\n  {person.name}" if person.name else person.address,
                    place.list,
                    _state(person, place, program.clock()),
                    place.cadence,
                    ", ".join(place.topics) or "everything",
                )
                for person in people
                for place in person.subscriptions
                if newsletter in (None, place.list)
            ],
            wrap=("Subscriber", "Topics"),
        )
        for name, cadences in program.reader_counts().items():
            each = ", ".join(f"{count} {cadence}" for cadence, count in cadences.items())
            console.say(f"{name}: {several(sum(cadences.values()), 'confirmed reader')} ({each})")


@app.command()
def show(address: Address, json: JsonOption = False) -> None:
    """Show one subscriber.

    Example:
      distributor subscribers show ada@example.org
    """
    with console.app() as program:
        person = program.subscriber(address)
        if json:
            console.document(person)
            return
        shown = f"{person.name} <{person.address}>" if person.name else person.address
        console.say(f"{shown}, since {person.created_at:%Y-%m-%d}")
        if person.suppressed:
            end = f", until {console.moment(person.suppressed_until, program.zone)}"
            console.say(f"suppressed: {person.suppressed}{end if person.suppressed_until else ''}")
        chosen = {"time zone": person.timezone, "language": person.locale, **person.attributes}
        if person.hour is not None:
            chosen["hour"] = f"{person.hour}:00"
        for name, value in chosen.items():
            if value:
                console.say(f"{name}: {value}")
        for place in person.subscriptions:
            topics = ", ".join(place.topics) or "everything"
            served = f"served through article {place.served_through}"
            until = console.moment(place.paused_until, program.zone)
            rests = _state(person, place, program.clock()) == "paused"
            end = f" (takes a break until {until})" if rests else ""
            console.say(f"  {place.list}: {place.state}{end}, {place.cadence}, {topics}; {served}")


def _state(person: Subscriber, place: Subscription, now: datetime) -> str:
    if person.suppressed:
        return person.suppressed
    if place.state == "confirmed" and place.paused_until and place.paused_until > now:
        return "paused"
    return place.state


@app.command()
def add(
    address: Address,
    newsletter: Annotated[
        list[str], typer.Option(metavar="NAME", help="On which newsletter; may be given several times.")
    ],
    name: Annotated[str, typer.Option(help="How mails address them.")] = "",
    topics: Annotated[
        str | None, typer.Option(help="With commas between; '' is everything. A new one gets everything.")
    ] = None,
    cadence: Annotated[
        Literal["instant", "daily", "weekly", "monthly"] | None,
        typer.Option(help="How often. A new one gets it daily."),
    ] = None,
) -> None:
    """Add a subscriber who has agreed to it, or change one.

    What is not said stays as it is. Nobody who left is brought back.

    Example:
      distributor subscribers add ada@example.org --newsletter morning --topics harbour,culture
    """
    from subscribers.model import Entry, normal_address, plain

    with console.app() as program:
        for one in newsletter:
            console.known(one, program.config.newsletters)
        try:
            known = normal_address(address)
        except ValueError as error:
            console.complain(f"{address}: {error}")
            raise typer.Exit(1) from None
        entry = Entry(
            address=known,
            lists=tuple(dict.fromkeys(newsletter)),
            name=plain(name, at_most=200),
            topics=None if topics is None else tuple(topics.split(",")),
            cadence=cadence,
            state="confirmed",
        )
        result = program.add_subscriber(entry)
    if result.left_alone:
        console.complain(f"{address} unsubscribed or is suppressed, and stays so")
        raise typer.Exit(1)
    console.say(f"{address} gets {', '.join(newsletter)}.")


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(help="CSV whose first line names its columns; - for standard input."),
    ],
    newsletter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="For rows that name no newsletter.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Import subscribers from CSV.

    The columns are email, name, newsletters, topics, cadence, timezone, locale, state and a few more, of
    which only email has to be there. What Mailchimp, listmonk, Ghost, Substack and Buttondown export is
    recognised. Rows that cannot be used are listed by line; the others are imported. Importing a file again
    changes nothing, and brings nobody back who left.

    Example:
      distributor subscribers import readers.csv --newsletter morning
    """
    from subscribers.transfer import NoAddresses

    if str(file) != "-" and not file.is_file():
        raise typer.BadParameter(f"there is no file {str(file)!r}")
    with console.app() as program, console.progress("Importing", _rows(file)) as done:
        for name in newsletter or ():
            console.known(name, program.config.newsletters)
        shown = 0

        def seen(rows: int) -> None:
            nonlocal shown
            done(rows - shown)
            shown = rows

        try:
            with _opened(file) as lines:
                result = program.import_subscribers(lines, default_lists=newsletter or (), seen=seen)
        except NoAddresses as error:
            console.complain(f"{file}:1: {error}")
            raise typer.Exit(1) from None
    if json:
        console.document(result)
    else:
        for problem in result.problems:
            console.complain(f"{file}:{problem.line}: {problem.reason}")
        if result.program:
            console.say(f"This is what {result.program} exports.")
        console.say(_summary(result))
    if result.problems:
        raise typer.Exit(1)


def _opened(file: Path) -> TextIO:
    """The file or standard input; bytes that are not UTF-8 are told apart later, line by line."""
    source = sys.stdin.fileno() if str(file) == "-" else file
    return open(source, encoding="utf-8-sig", errors="surrogateescape", closefd=source == file)


def _summary(result: Imported) -> str:
    counts = {
        f"new subscription{'s' if result.added != 1 else ''}": result.added,
        "changed": result.changed,
        "unchanged": result.unchanged,
        "left alone, for they unsubscribed or are suppressed": result.left_alone,
        "with a problem": len(result.problems),
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{several(result.rows, 'row')}: {told or 'nobody to import'}."


def _rows(file: Path) -> int | None:
    """About how many rows, for the progress bar."""
    if str(file) == "-" or not file.is_file():
        return None
    with file.open("rb") as data:
        return max(sum(chunk.count(b"\n") for chunk in iter(lambda: data.read(1 << 20), b"")) - 1, 0)


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(dir_okay=False, help="Where to; standard output without it.")
    ] = None,
    newsletter: Newsletter = None,
    segment: Segment = None,
    person: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="All that is known of this subscriber, as JSON."),
    ] = None,
) -> None:
    """Export subscribers as CSV that `import` reads.

    With --person, all that is known of one of them, as JSON.

    Examples:
      distributor subscribers export readers.csv
      distributor subscribers export ada.json --person ada@example.org
    """
    with console.app() as program:
        if newsletter:
            console.known(newsletter, program.config.newsletters)
        if file is None:
            _write(program, sys.stdout, newsletter, segment, person)
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="") as out:
                written = _write(program, out, newsletter, segment, person)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        console.say(f"{written} in {file}")


def _write(
    program: App, file: TextIO, newsletter: str | None, segment: str | None, person: str | None
) -> str:
    """Write what was asked for; what it is."""
    if person is None:
        count = program.export_subscribers(file, newsletter=newsletter, segment=segment)
        return several(count, "subscription")
    import json

    json.dump(program.personal_data(person), file, indent=2, ensure_ascii=False, default=str)
    file.write("\n")
    return "All that is known of them"


@app.command()
def erase(address: Address, yes: YesOption = False, json: JsonOption = False) -> None:
    """Forget a subscriber.

    Their row, their subscriptions and what stands beside their consents go. What stays is the hash of the
    address, so that no import brings them back, and a proof that they were erased.

    Example:
      distributor subscribers erase ada@example.org
    """
    with console.app() as program:
        person = program.subscriber(address)
        console.confirm(f"Forget {person.address} for ever?", yes=yes)
        proof = program.erase_subscriber(address)
        if json:
            console.document(proof)
            return
        console.say(f"Erased: subscriber {proof.subscriber}, {several(proof.subscriptions, 'subscription')}.")
        console.say(f"Their address is known from now on only as {proof.address_hash}.")
