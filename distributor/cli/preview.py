"""`distributor preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distributor.cli import console


def preview(
    name: Annotated[str, typer.Argument(help="A newsletter or channel.")],
    article: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="With this article; may be given several times.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; without it var/preview beside the configuration."),
    ] = None,
) -> None:
    """Show an edition or post without sending it.

    It becomes files and pictures, with an index.html to look at.

    Examples:
      distributor preview morning
      distributor preview mastodon --article 4101 --out /tmp/look
    """
    with console.app() as app:
        scanned = app.scan()
        page = app.preview(name, article or [], out or app.config.home / "var/preview")
        console.complain_of(scanned.problems)
        console.say(f"Look at {page.absolute().as_uri()}")
