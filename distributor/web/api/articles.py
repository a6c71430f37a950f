"""Articles, and why a reader has one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints
from starlette.routing import BaseRoute

from distributor.model import Article, ArticleState
from distributor.web.api.answers import MISSING
from distributor.web.api.gate import Endpoints, may, room
from distributor.web.api.values import LAST, ArticlesPage, Explained, Limit, text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Place = tuple[int, str]  # when it was published, in microseconds since 1970; and its key


class Articles(Endpoints):
    def routes(self) -> list[BaseRoute]:
        router = room("", about="articles")
        add = router.add_api_route
        add("/articles", self.list_articles, dependencies=[may("articles:read")])
        add("/explain", self.explain, dependencies=[may("subscribers:read")], responses=MISSING)
        return router.routes

    def list_articles(
        self,
        state: Annotated[ArticleState | None, Query(description="Only those.")] = None,
        new: Annotated[
            bool, Query(description="Only those that no edition or post has carried yet.")
        ] = False,
        limit: Limit = 100,
        after: Annotated[
            str,
            Query(description="`next` of the page before."),
            StringConstraints(max_length=3000, pattern=r"^(-?[0-9]{1,19}~[^\u0000]*)?$"),
        ] = "",
    ) -> ArticlesPage:
        """The site's articles as they stand now, the newest first."""
        place = _place(after) if after else None
        found, problems = self._app.articles(new=new)
        if state is not None:
            found = [article for article in found if article.state is state]
        if place is not None:
            found = [article for article in found if _place_of(article) < place]
        page = found[:limit]
        return ArticlesPage.model_validate(
            {
                "articles": page,
                "problems": [] if place else problems,
                "next": _text(_place_of(page[-1])) if len(found) > limit else None,
            }
        )

    def explain(
        self,
        article: Annotated[str, Query(description="Its key, address or path."), text(2000, least=1)],
        subscriber: Annotated[int, Query(ge=1, le=LAST, description="The reader's number.")],
    ) -> Explained:
        """Why a reader has, will have or will not have an article, newsletter by newsletter."""
        person = self._app.person(subscriber)
        reasons = self._app.explain(article, person.id)
        return Explained.model_validate({"article": article, "subscriber": person.id, "reasons": reasons})


def _place_of(article: Article) -> Place:
    return (article.published_at - EPOCH) // timedelta(microseconds=1), article.key


def _text(place: Place) -> str:
    return f"{place[0]}~{place[1]}"


def _place(text: str) -> Place:
    at, _, key = text.partition("~")
    return int(at), key
