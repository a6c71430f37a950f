"""`distributor subscribers`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from distributor.cli import console
from distributor.cli.console import JsonOption, several

app = typer.Typer(help="The audience: list, show, add, import, export.", no_args_is_help=True)
Newsletter = Annotated[str | None, typer.Option(help="Of this newsletter only.")]


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
        people = islice(program.everybody(newsletter=newsletter), limit)
        if json:
            console.document({"subscribers": list(people)})
            return
        console.table(
            ("Address", "Name", "Newsletter", "State", "Cadence", "Topics"),
            [
                (
                    person.address,
                    person.name,
                    place.list,
                    person.suppressed or place.state,
                    place.cadence,
                    topics,
                )
                for person in people
                for place in person.subscriptions
                if newsletter in (None, place.list)
                for topics in [", ".join(place.topics) or "everything"]
            ],
        )
        for name, cadences in program.reader_counts().items():
            each = ", ".join(f"{count} {cadence}" for cadence, count in cadences.items())
            console.say(f"{name}: {several(sum(cadences.values()), 'confirmed reader')} ({each})")


@app.command()
def show(address: str, json: JsonOption = False) -> None:
    """Show one subscriber.

    Example:
      distributor subscribers show ada@example.org
    """
    with console.app() as program:
        person = program.subscriber(address)
        if json:
            console.document(person)
            return
        console.say(f"{person.name} <{person.address}>, since {person.created_at:%Y-%m-%d}")
        if person.suppressed:
            console.say(f"suppressed: {person.suppressed}")
        for place in person.subscriptions:
            topics = ", ".join(place.topics) or "everything"
            served = f"served through article {place.served_through}"
            console.say(f"  {place.list}: {place.state}, {place.cadence}, {topics}; {served}")


@app.command()
def add(
    address: str,
    newsletter: Annotated[list[str], typer.Option(help="On which newsletter; may be given several times.")],
    name: Annotated[str, typer.Option(help="How mails address them.")] = "",
    topics: Annotated[str, typer.Option(help="Topics with commas between; none: everything.")] = "",
    cadence: Annotated[str, typer.Option(help="instant, daily, weekly or monthly.")] = "daily",
) -> None:
    """Add a subscriber who has agreed to it, or change one. Nobody who left is brought back.

    Example:
      distributor subscribers add ada@example.org --newsletter morning --topics harbour,culture
    """
    import csv
    import io

    row = io.StringIO()
    writer = csv.writer(row)
    writer.writerow(("email", "name", "newsletters", "topics", "cadence"))
    writer.writerow((address, name, ";".join(newsletter), topics, cadence))
    with console.app() as program:
        result = program.import_subscribers(row.getvalue().splitlines(keepends=True))
    for problem in result.problems:
        console.complain(f"{address}: {problem.reason}")
    if result.left_alone:
        console.complain(f"{address} unsubscribed or is suppressed, and stays so")
    if result.problems or result.left_alone:
        raise typer.Exit(1)
    console.say(f"{address} gets {', '.join(newsletter)}.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a column 'email'; - for standard input.")],
    newsletter: Annotated[list[str] | None, typer.Option(help="For rows that name no newsletter.")] = None,
    json: JsonOption = False,
) -> None:
    """Import subscribers from CSV: email, name, newsletters, topics, cadence, timezone, locale, state.

    Rows that cannot be used are listed by line; the others are imported. Importing a file again changes
    nothing, and brings nobody back who left.

    Example:
      distributor subscribers import readers.csv --newsletter morning
    """
    from subscribers.transfer import NoAddresses

    with console.app() as program, console.progress("Importing", _rows(file)) as done:
        shown = 0

        def seen(rows: int) -> None:
            nonlocal shown
            done(rows - shown)
            shown = rows

        try:
            with click.open_file(str(file), encoding="utf-8-sig", errors="surrogateescape") as lines:
                result = program.import_subscribers(lines, default_lists=newsletter or (), seen=seen)
        except NoAddresses as error:
            console.complain(f"{file}:1: {error}")
            raise typer.Exit(1) from None
    if json:
        console.document(result)
    else:
        for problem in result.problems:
            console.complain(f"{file}:{problem.line}: {problem.reason}")
        console.say(
            f"{several(result.rows, 'row')}: {result.added} added, {result.changed} changed, "
            f"{result.unchanged} unchanged, {result.left_alone} left alone because they left, "
            f"{several(len(result.problems), 'row')} with problems."
        )
    if result.problems:
        raise typer.Exit(1)


def _rows(file: Path) -> int | None:
    """About how many rows, for the progress bar."""
    if str(file) == "-" or not file.is_file():
        return None
    with file.open("rb") as data:
        return max(sum(chunk.count(b"\n") for chunk in iter(lambda: data.read(1 << 20), b"")) - 1, 0)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output without it.")] = None,
    newsletter: Newsletter = None,
) -> None:
    """Export subscribers as CSV that `import` reads.

    Example:
      distributor subscribers export readers.csv
    """
    with console.app() as program:
        if file is None:
            program.export_subscribers(sys.stdout, newsletter=newsletter)
            return
        partial = file.with_name(f".{file.name}.partial")
        with partial.open("w", encoding="utf-8", newline="") as out:
            count = program.export_subscribers(out, newsletter=newsletter)
        partial.replace(file)
        console.say(f"{several(count, 'subscription')} in {file}")
