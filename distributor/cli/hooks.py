"""`distributor hooks`."""

from __future__ import annotations

from typing import Annotated

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption

app = Commands(help="What other programs are told: list, retry.", no_args_is_help=True)

STATES = ("waiting", "told", "given up")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the hooks, and how much of what they were to be told in the last 30 days was taken.

    Example:
      distributor hooks list --json
    """
    with console.app() as program:
        found = program.hooks()
    if json:
        names = {state: state.replace(" ", "_") for state in STATES}
        rows = [
            {"name": hook} | {names[state]: counts.get(state, 0) for state in STATES}
            for hook, counts in found.items()
        ]
        console.document({"hooks": rows})
        return
    if not found:
        console.say("There is no hook, so no other program is told anything.")
        return
    columns = ("Hook", *(state.capitalize() for state in STATES))
    table = [(hook, *(f"{counts.get(state, 0):,}" for state in STATES)) for hook, counts in found.items()]
    console.table(columns, table, right=columns[1:], wrap=("Hook",))


@app.command()
def retry(name: Annotated[str, typer.Argument(help="Of the hook.")]) -> None:
    """Have a hook told what was given up, from the next delivery on.

    Example:
      distributor hooks retry crm
    """
    with console.app() as program:
        count = program.retry_hook(name)
    console.say(f"To be told again: {console.several(count, 'message')}.")
