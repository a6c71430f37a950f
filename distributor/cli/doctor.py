"""`distributor doctor`."""

from __future__ import annotations

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption, several


def doctor(json: JsonOption = False) -> None:
    """Ask the outside: accounts, DNS, web address, clock.

    It asks each provider and network whether its key opens the account, looks for SPF, DKIM and DMARC of
    every sender, and whether the web endpoint is reached; it changes nothing, and takes some seconds.

    Example:
      distributor doctor
    """
    with console.app() as app:
        found = app.doctor()
        if json:
            console.document({"findings": found})
        else:
            for one in found:
                console.say(f"{one.state:<8}{one.about}: {one.told}")
                if one.remedy:
                    console.say(f"        {one.remedy}")
            wrong = sum(one.state == "wrong" for one in found)
            console.say(f"{several(len(found), 'question')}, {wrong} wrong." if found else "Nothing to ask.")
    if any(one.state == "wrong" for one in found):
        raise typer.Exit(1)
