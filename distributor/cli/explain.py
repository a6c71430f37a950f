"""`distributor explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption


def explain(
    article: Annotated[str, typer.Argument(help="Its key, address or path.")],
    address: Annotated[str, typer.Argument(help="The reader's address.")],
    json: JsonOption = False,
) -> None:
    """Say why a reader has, will have or will not have an article.

    Example:
      distributor explain 4101 ada@example.org
    """
    with console.app() as app:
        reasons = app.explain(article, address)
        if json:
            console.document({"article": article, "address": address, "reasons": reasons})
            return
        for reason in reasons:
            console.say(f"{reason.newsletter}: {reason.verdict}", style="bold")
            for line in reason.details:
                console.say(f"  {line}")
