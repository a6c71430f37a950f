"""`distributor db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, YesOption, several

if TYPE_CHECKING:
    from distributor.store.restored import Held

app = Commands(help="The database: upgrade, status, backup, restore, prune.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the tables up to this program's version. Every command does so by itself.

    Example:
      distributor db upgrade
    """
    from distributor.store.database import VERSION, Database

    database = Database(console.config().database.url)
    done = database.upgrade()
    database.close()
    console.say(f"The database is {'now' if done else 'already'} at version {VERSION}.")


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="A new file; var/backup/distributor-TIME without.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy the database into one file, while everything goes on.

    With PostgreSQL it is pg_dump that does so. The copy holds readers' addresses: keep it as safe as the
    database.

    Examples:
      distributor db backup
      distributor db backup /mnt/safe/monday.db
    """
    with console.app() as program:
        made = program.back_up(file)
    size = made.stat().st_size
    if json:
        console.document({"file": str(made), "bytes": size})
    else:
        console.say(f"{made}: {size:,} bytes.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A copy that `distributor db backup` made.")],
    replace: Annotated[bool, typer.Option("--replace", help="Though the database is not empty.")] = False,
    up_to_date: Annotated[
        bool,
        typer.Option("--up-to-date", help="Nothing was sent or published since the copy was made."),
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Put a copy in the place of the database.

    The copy does not know what was sent since it was made. So that nobody gets anything twice, what was
    queued then becomes unclear, for you to settle, and what is public by now counts as known. Who joined or
    left since is not known either.

    Examples:
      distributor db restore var/backup/distributor-20261201T030000Z.db --replace
    """
    from distributor.app import App

    told = (
        ""
        if up_to_date
        else " What was sent since it was made is not known any more, so nothing of it is sent again."
    )
    console.confirm(f"Put {file} in the place of the database?{told}", yes=yes)
    program = App(console.config())
    try:
        done = program.restore(file, replace=replace, is_up_to_date=up_to_date)
    finally:
        program.close()
    if json:
        console.document(done)
        return
    console.say(f"The database is as {file} has it.")
    if done.kept:
        console.say(f"What it replaced is in {done.kept}.")
    if not up_to_date:
        _tell_held(done.held)


def _tell_held(held: Held) -> None:
    for number in held.campaigns:
        console.complain(
            f"campaign {number} was open then: distributor campaigns settle {number} --as accepted, or again"
        )
    for name, keys in held.articles.items():
        shown = ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
        console.complain(
            f"{name}: nothing of this had gone out yet, and none of it goes out by itself now: {shown}; "
            f"`distributor send` and `distributor post` send what is really missing"
        )
    console.complain(
        "Who unsubscribed, bounced or complained since the copy was made is not known here: "
        "take the providers' lists of them into `distributor subscribers import` before anything is sent"
    )


@app.command()
def prune(json: JsonOption = False) -> None:
    """Let go of deliveries and events older than [retention].

    `distributor run` does so every night. Of an edition its counts stay, and whoever was a reader by then
    counts as having its articles.

    Example:
      distributor db prune
    """
    with console.app() as program:
        pruned = program.prune()
    if json:
        console.document(pruned)
        return
    console.say(
        f"{several(pruned.deliveries, 'delivery', 'deliveries')} of {several(pruned.campaigns, 'edition')} "
        f"and {several(pruned.events, 'event')} let go of."
    )


@app.command()
def status(json: JsonOption = False) -> None:
    """Say which version the database is at, and how much is in it.

    Example:
      distributor db status --json
    """
    with console.app() as program:
        found = program.database_status()
        if json:
            console.document(found)
            return
        console.say(f"Version {found.pop('version')}.")
        gap = found.pop("accounting_gap")
        console.table(
            ("Table", "Rows"), [(name, f"{rows:,}") for name, rows in found.items()], right=("Rows",)
        )
        if gap:
            console.complain(
                "candidates and deliveries do not add up: please report this, with `campaigns list`"
            )
            raise typer.Exit(1)
        console.say("The accounts balance.")
