"""`distributor subscribers`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, several

if TYPE_CHECKING:
    from subscribers.transfer import Imported

app = Commands(help="The audience: list, show, add, import, export.", no_args_is_help=True)
Newsletter = Annotated[str | None, typer.Option(metavar="NAME", help="Of this newsletter only.")]
Address = Annotated[str, typer.Argument(help="In upper or lower case.")]


@app.command("list")
def list_(
    newsletter: Newsletter = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """List subscribers and their subscriptions.

    Example:
      distributor subscribers list --newsletter morning
    """
    from itertools import islice

    with console.app() as program:
        if newsletter:
            console.known(newsletter, program.config.newsletters)
        people = islice(program.everybody(newsletter=newsletter), limit)
        if json:
            console.document({"subscribers": list(people)})
            return
        console.table(
            ("Subscriber", "Newsletter", "State", "Cadence", "Topics"),
            [
                (
                    f"{person.address}\n  {person.name}" if person.name else person.address,
                    place.list,
                    person.suppressed or place.state,
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
            console.say(f"suppressed: {person.suppressed}")
        for place in person.subscriptions:
            topics = ", ".join(place.topics) or "everything"
            served = f"served through article {place.served_through}"
            console.say(f"  {place.list}: {place.state}, {place.cadence}, {topics}; {served}")


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
    import csv
    import io

    row = io.StringIO()
    writer = csv.writer(row)
    given = {"topics": topics, "cadence": cadence}
    known = {"email": address, "name": name, "newsletters": ";".join(newsletter), "state": "confirmed"}
    cells = known | {column: value for column, value in given.items() if value is not None}
    writer.writerow(cells)
    writer.writerow(cells.values())
    row.seek(0)
    with console.app() as program:
        for one in newsletter:
            console.known(one, program.config.newsletters)
        result = program.import_subscribers(row)
    for problem in result.problems:
        console.complain(f"{address}: {problem.reason}")
    if result.left_alone:
        console.complain(f"{address} unsubscribed or is suppressed, and stays so")
    if result.problems or result.left_alone:
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

    The columns are email, name, newsletters, topics, cadence, timezone, locale and state, of which only email
    has to be there. Rows that cannot be used are listed by line; the others are imported. Importing a file
    again changes nothing, and brings nobody back who left.

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
) -> None:
    """Export subscribers as CSV that `import` reads.

    Example:
      distributor subscribers export readers.csv
    """
    with console.app() as program:
        if newsletter:
            console.known(newsletter, program.config.newsletters)
        if file is None:
            program.export_subscribers(sys.stdout, newsletter=newsletter)
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="") as out:
                count = program.export_subscribers(out, newsletter=newsletter)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        console.say(f"{several(count, 'subscription')} in {file}")
