"""`distributor init` and `distributor check`."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Annotated

import typer

from distributor.cli import console
from distributor.cli.console import several


def init(
    folder: Annotated[Path, typer.Argument(help="Where; best beside the site's content folder.")] = Path(),
) -> None:
    """Make a ready workspace: configuration, .env and templates.

    The templates are beginnings of your own, and change nothing yet. Files that are there already are left as
    they are.

    Examples:
      distributor init
      distributor init newsroom
    """
    from distributor.resources import templates

    folder.mkdir(parents=True, exist_ok=True)
    shipped = templates() / "init"
    content = next((name for name in ("content", "site/content") if (folder / name).is_dir()), "content")
    _write(folder / "distributor.toml", _text(shipped / "distributor.toml").replace("CONTENT", content))
    environment = _text(shipped / "env").replace("GENERATED", secrets.token_urlsafe(32))
    _write(folder / ".env", environment, private=True)
    _write(folder / ".gitignore", ".env\nvar/\n")
    for kind in ("email", "social"):
        _copy(shipped / kind, folder / "templates" / kind)
    console.say(f"Now open {folder / 'distributor.toml'}, then: distributor check")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str, *, private: bool = False) -> None:
    if path.exists():
        console.say(f"kept  {path}")
        return
    path.touch(mode=0o600 if private else 0o644)
    path.write_text(text, encoding="utf-8")
    console.say(f"wrote {path}")


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        console.say(f"kept  {target}/")
        return
    shutil.copytree(source, target)
    console.say(f"wrote {target}/")


def check() -> None:
    """Check configuration, content, templates and database.

    Every problem is told with its line and remedy.

    Example:
      distributor check
    """
    from distributor.app import App
    from distributor.config import notes

    app = App(console.config())
    try:
        problems = app.check()
    finally:
        app.close()
    console.complain_of(problems)
    for note in notes(app.config):
        console.complain(f"note: {note}")
    if problems:
        console.complain(several(len(problems), "problem"))
        raise typer.Exit(1)
    config = app.config
    newsletters, channels = (
        several(len(config.newsletters), "newsletter"),
        several(len(config.channels), "channel"),
    )
    database = app.database.engine.url.render_as_string(hide_password=True)
    console.say(f"All is well: {newsletters}, {channels}, database {database}.")
