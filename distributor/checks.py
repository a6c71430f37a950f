"""What would keep a set-up from working, found before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from distributor.articles.scan import scan
from distributor.errors import DistributorError, Problem
from distributor.instances import Usual
from distributor.model import Article
from distributor.posts import Posts
from distributor.rendering import fetch
from distributor.rendering.digest import digest
from distributor.rendering.environment import environment
from distributor.rendering.faults import faults
from distributor.rendering.pictures import MemoryIndex, Pictures

if TYPE_CHECKING:
    from distributor.app import App


def check(app: App) -> list[Problem]:
    """Whatever would keep this set-up from working: content, templates, database."""
    return [problem for part in (_content, _templates, _database) for problem in part(app)]


def check_settings(app: App) -> list[Problem]:
    """Whatever would keep a new configuration from working: the site's own, ways out, templates.

    Raises:
        DistributorError: already its parts cannot be composed.
    """
    problems = list(app.site.problems) if app.site else []
    return problems + (_templates(app) if app.routes else [])


def _content(app: App) -> list[Problem]:
    try:
        if app.site is not None:
            found = scan(app.site, {}, now=app.clock())
            in_files = [problem for file in found.read for problem in file.problems]
            return [*app.site.problems, *found.problems, *in_files]
    except DistributorError as error:
        return [Problem(path=str(app.config.site.content), reason=str(error))]
    return []


def _templates(app: App) -> list[Problem]:
    """Compile them all, and render an invented article with those in use."""
    kinds = ("email", "social")
    found = [fault for kind in kinds for fault in faults(environment(app.config.templates, kind))]
    if found:
        return found
    sample = Article(
        key="sample",
        url=f"{app.publication.base_url}/sample/",
        title="A headline",
        summary="What it says.",
        published_at=app.clock(),
        path="sample.md",
    )
    with TemporaryDirectory() as folder:
        return [
            Problem(path=str(app.config.templates), reason=str(error))
            for error in _rendering_errors(app, sample, Path(folder))
        ]


def _rendering_errors(app: App, sample: Article, folder: Path) -> Iterator[DistributorError]:
    limits = app.config.pictures.model_copy(update={"path": folder})
    drawn = Pictures(folder, MemoryIndex(), fetch.client(limits), limits, app.publication)
    for newsletter in app.config.newsletters.values():
        try:
            digest(
                app.publication,
                newsletter,
                [sample],
                {sample.key: drawn.banner(sample)},
                edition_at=app.clock(),
                media_url=lambda picture: picture.name,
                environment=environment(app.config.templates, "email"),
            )
        except DistributorError as error:
            yield error
    for name in app.config.channels:
        posts = Posts(
            app.config,
            app.database,
            app.shelf,
            publication=app.publication,
            pictures=drawn,
            environment=environment(app.config.templates, "social"),
            instances=Usual(),
        )
        try:
            posts.render(name, sample, app.clock())
        except DistributorError as error:
            yield error


def _database(app: App) -> list[Problem]:
    try:
        app.database.upgrade()
    except DistributorError as error:
        return [Problem(path=str(app.config.path), reason=str(error))]
    return []
