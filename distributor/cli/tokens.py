"""`distributor tokens`: who may use the API."""

from __future__ import annotations

from typing import Annotated

import typer

from distributor.cli import console
from distributor.cli.console import Commands, JsonOption, YesOption

app = Commands(help="Tokens for the API: add, list, revoke.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Of the program or person that has it.")]


@app.command()
def add(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(metavar="SCOPE", help="What it may do; may be given several times.")
    ],
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="When it ends; without it, when it is revoked.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token, and show it this once.

    Scopes are articles:read, campaigns:read, campaigns:write, events:read, subscribers:read and
    subscribers:write. None includes another.

    Examples:
      distributor tokens add newsroom --scope articles:read --scope campaigns:read
      distributor tokens add shop --scope subscribers:write --expires 2030-01-01
    """
    ends = console.a_moment(expires)
    with console.app() as program:
        try:
            token = program.add_token(name, scope, expires_at=ends)
        except ValueError as error:
            console.complain(str(error))
            raise typer.Exit(1) from None
        if json:
            console.document({"name": name, "token": token, "scopes": sorted(set(scope)), "expires_at": ends})
            return
        console.say(token)
        console.complain("Keep it now: it is not shown again. Whoever has it may do all of this.")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List tokens: whose they are, what they may do, when they were used last.

    Example:
      distributor tokens list
    """
    with console.app() as program:
        found = program.api_tokens()
        zone, now = program.zone, program.clock()
        if json:
            names = ("name", "scopes", "created_at", "expires_at", "used_at")
            document = [{name: getattr(token, name) for name in names} for token in found]
            console.document({"tokens": document})
            return
        if not found:
            console.say("There is no token, so nobody can use the API.")
            return
        console.table(
            ("Token", "May", "Made", "Ends", "Used"),
            [
                (
                    token.name,
                    ", ".join(token.scopes),
                    console.moment(token.created_at, zone),
                    "is over" if token.is_over(now) else console.moment(token.expires_at, zone),
                    console.moment(token.used_at, zone) or "never",
                )
                for token in found
            ],
            wrap=("Token", "May"),
        )


@app.command()
def revoke(name: Name, yes: YesOption = False) -> None:
    """End a token at once, on every machine.

    Example:
      distributor tokens revoke shop
    """
    with console.app() as program:
        program.api_token(name)
        console.confirm(f"End the token {name!r}? Whoever uses it is refused from then on.", yes=yes)
        program.revoke_token(name)
        console.say(f"The token {name!r} is over.")
