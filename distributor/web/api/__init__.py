"""The JSON API: what the command line can tell and do, for programs that have a token."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from distributor import __version__
from distributor.app import App
from distributor.web.api.answers import ANSWERS
from distributor.web.api.articles import Articles
from distributor.web.api.campaigns import Campaigns
from distributor.web.api.events import Events
from distributor.web.api.gate import ROOT, Gate
from distributor.web.api.people import Lists, People
from distributor.web.rates import Rates

DESCRIBED = f"{ROOT}/openapi.json"
ABOUT = """
Articles, readers, campaigns and what became of them, as JSON.

Every request brings a token that `distributor tokens add` made: `Authorization: Bearer dst_…`. A token may do
what its scopes say, and no scope includes another.

Lists come in pages. `next` is what to send as `after` for the next page, and null after the last one. No page
is skipped and none comes twice, whatever is added meanwhile.

Whatever fails is told as `{"error": {"status": 404, "message": "…", "fields": {}}}`: a sentence for a person,
and where single fields are wrong, what is wrong with each. 429 and 503 say in `Retry-After` when to come.
Times are RFC 3339, in UTC.
"""


def api(app: App, rates: Rates | None = None) -> ASGIApp:
    """The API of an app whose tables are there; every path begins with `ROOT`."""
    inner = FastAPI(
        title="distributor",
        version=__version__,
        description=ABOUT,
        openapi_url=DESCRIBED,
        docs_url=None,  # what FastAPI offers fetches its scripts from elsewhere; docs/api.md is for people
        redoc_url=None,
        exception_handlers=ANSWERS,
    )
    for endpoints in (Articles, Lists, People, Campaigns, Events):
        # Flat, so that a 405 can say all that an address takes.
        inner.router.routes += endpoints(app).routes()
    return Gate(inner, app, rates or Rates(), open_to_all=(DESCRIBED,))
