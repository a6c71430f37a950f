"""`distributor export`: what other programs want to know."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import orjson
import typer

from distributor.cli import console
from distributor.cli.console import Commands, several

app = Commands(help="What the site wants to know: where its articles are posted.", no_args_is_help=True)


@app.command()
def syndication(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write it; data/syndication.json of the Hugo site, if not said."
        ),
    ] = None,
) -> None:
    """Write the addresses of all posts of each article as a data file of Hugo's.

    The file is a table from an article's address to its posts: channel, network and url of each. A template
    shows them with `range index site.Data.syndication .Permalink`.

    Examples:
      distributor export syndication
      distributor export syndication --out ../site/data/syndication.json
    """
    with console.app() as program:
        content = program.config.site.content
        if out is None and content is None:
            raise typer.BadParameter("the site has no folder here, so say --out FILE")
        path = out or (content or Path()).parent / "data" / "syndication.json"
        found = program.syndication()
        data = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        posts = several(sum(map(len, found.values())), "post")
        if path.is_file() and path.read_bytes() == data + b"\n":
            console.say(f"{path} has all {posts} already.")
            return
        _write(path, data + b"\n")
        console.say(f"{posts} of {several(len(found), 'article')} written to {path}")


def _write(path: Path, data: bytes) -> None:
    """Put a whole file in place of the old one: a Hugo that builds meanwhile reads one or the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
