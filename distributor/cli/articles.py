"""`distributor articles`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from distributor.cli import console
from distributor.cli.console import JsonOption, several

if TYPE_CHECKING:
    from distributor.model import Article


def articles(
    new: Annotated[bool, typer.Option("--new", help="Only what no edition or post has carried yet.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Count what was published from then on as new, on channels that announced nothing yet.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, the newest first; 0: all.")] = 100,
    json: JsonOption = False,
) -> None:
    """List the site's articles as they stand now.

    They are public, scheduled, draft, expired or held. The first look at an existing site takes all that is
    public as known, so that nothing old is announced; --since makes exceptions.

    Examples:
      distributor articles --new
      distributor articles --since 2026-11-20
      distributor articles --limit 0
      distributor articles --json | jq '.articles[] | select(.state == "held")'
    """
    with console.app() as app:
        scanned = app.scan(since=console.a_moment(since))
        found, problems = app.articles(new=new)
        problems = [*problems, *(p for p in scanned.problems if p not in problems)]
        if json:
            console.document({"articles": [_shown(article) for article in found], "problems": problems})
            return
        zone = app.zone
        shown = found[: limit or None]
        rows = [
            (
                article.sequence or "",
                console.moment(article.published_at, zone) if article.published_at.year > 1970 else "",
                article.state,
                _described(article),
            )
            for article in shown
        ]
        console.table(("No.", "Published", "State", "Article"), rows, right=("No.",), wrap=("Article",))
        console.say(
            f"{several(len(found), 'article')}, {several(scanned.files, 'file')}, {scanned.read} read anew."
        )
        if len(shown) < len(found):
            console.say(f"These are the newest {len(shown)}; --limit 0 shows all.")
        if scanned.registered.is_first and since is None and found:
            console.say(
                "This was the first look: what is public now counts as known. --since DATE says otherwise."
            )
        for name in scanned.kept:
            console.complain(f"{name} has announced articles already, so --since leaves it alone")
        console.complain_of(problems)


def _described(article: Article) -> str:
    """Its title; below it where it is from, and why it is not public."""
    place = article.path if article.key == article.url else article.key
    origin = f"{article.source} · {place}" if article.source else place
    why = (article.reason or "").removeprefix(f"{article.state}: ")
    return "\n".join(filter(None, (article.title, f"  {origin}", why and f"  {why}")))


def _shown(article: Article) -> dict[str, object]:
    names = (
        "key",
        "url",
        "title",
        "summary",
        "published_at",
        "source",
        "path",
        "sequence",
        "state",
        "reason",
    )
    return {name: getattr(article, name) for name in (*names, "banner", "qr")}
