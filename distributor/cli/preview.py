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

    It becomes files and pictures, with an index.html to look at, and what lint finds wrong is listed.

    Examples:
      distributor preview morning
      distributor preview mastodon --article 4101 --out /tmp/look
    """
    from distributor.previews import look
    from distributor.rendering.lint import tally

    with console.app() as app:
        scanned = app.scan()
        seen = look(app, name, article or [], out or app.config.home / "var/preview")
        console.complain_of(scanned.problems)
        if seen.is_linted:
            console.say(f"Lint found {tally(seen.findings)}.")
        for finding, of in seen.findings.items():
            more = f" and {len(of) - 1} more" if len(of) > 1 else ""
            console.say(f"  {finding.severity} in {of[0]}{more}: {finding}")
        console.say(f"Look at {seen.page.absolute().as_uri()}")
