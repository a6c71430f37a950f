"""`distributor db`."""

from __future__ import annotations

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, several

app = Commands(help="The database: upgrade, status, prune.", no_args_is_help=True)


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
def prune(json: JsonOption = False) -> None:
    """Let go of deliveries and events that are older than [retention] keeps them.

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
