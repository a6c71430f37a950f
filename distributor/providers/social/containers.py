"""How Instagram and Threads publish: a container that nobody sees is made, and then published, once at most.

A container says whether it was published. So its id is noted before that, and after a silence it is asked:
https://developers.facebook.com/docs/threads/troubleshooting (Postiz PR #1681 and #1813 posted twice without).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import regex

from distributor.errors import AccountTrouble, Refused, SendError, TryLater, Unclear
from distributor.providers import http
from distributor.providers.protocol import Memory
from distributor.providers.social import graph
from distributor.providers.social.steps import preparing

LOOKS = 15  # whether a container is ready, a pause apart
LASTS = timedelta(hours=25)  # a container that is not published expires after 24 hours
ATTEMPTS = 3  # containers that turn out bad, or pictures that are not fetched, before a person is told
FULL = 7200.0  # seconds; the quota is counted over the last 24 hours, so there is more before they are over

# https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/error-codes, as of
# 2026-06-02. Threads has no such page; others saw it use the same numbers.
SUBCODES: Mapping[int, graph.Kind] = {
    2207001: Unclear,  # its server failed
    2207003: graph.NotFetched,
    2207006: graph.Spoilt,  # "generate a new container"
    2207008: graph.later(60),  # failed for now, to be tried again within two minutes
    2207020: graph.Spoilt,  # expired
    2207027: graph.later(30),  # not ready
    2207032: graph.Spoilt,
    2207042: graph.later(FULL),  # as many posts as a day takes
    2207050: AccountTrouble,  # inactive or restricted, until its owner signs in
    2207051: AccountTrouble,  # taken for spam; with code 4, which is no limit here
    2207052: graph.NotFetched,
    2207053: graph.Spoilt,
}
UNFETCHED = regex.compile("2207052|2207003|DOWNLOADING")  # in what a container says
judge = graph.judging(SUBCODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the two networks call the same things."""

    creates: str
    publishes: str
    limit: str
    state: str  # a container's field: FINISHED, PUBLISHED …
    why: str  # the field that says more
    words: str  # of a post


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One post of a thread, the first of which is number 0; or the only one."""

    number: int
    payload: Mapping[str, Any]  # with addresses for its pictures
    memory: Memory
    listed: str  # where the account lists what is published like it
    quota: tuple[str, str] = ("quota_usage", "config")

    def name(self, what: str) -> str:
        return f"{what} {self.number}"

    def known(self, what: str) -> Any:
        return self.memory.known.get(self.name(what))

    async def keep(self, **values: Any) -> None:
        await self.memory.keep(**{self.name(what): value for what, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """An account's containers."""

    opened: httpx.AsyncClient
    version: str  # before every path
    account: str
    dialect: Dialect
    pause: float  # seconds between two looks

    async def published(self, part: Part) -> dict[str, Any]:
        """The receipt of a part, as JSON; published now unless it was before."""
        if part.known("part") is None:
            await part.keep(part=await self._published(part))
        found: dict[str, Any] = part.known("part")
        return found

    async def _published(self, part: Part) -> dict[str, Any]:
        id_ = await self._container(part)
        state, why = await self._settled(id_, part)
        if state == "FINISHED":
            return await self._publish(id_, part)
        if state == "PUBLISHED":
            return await self._afterwards(id_, part)
        if part.known("publishing") and (found := await self._listed(part)):
            return found
        raise await self._anew(state, why, part)

    # --- before anybody sees it ---

    async def _container(self, part: Part) -> str:
        if part.known("container") is None:
            with preparing():
                await self._until_room(part)
                told = {name: value for name, value in part.payload.items() if name != "children"}
                if children := part.payload.get("children"):
                    told["children"] = ",".join(await self._children(children, part))
                await part.keep(container=await self._made(told, part))
        return str(part.known("container"))

    async def _children(self, children: list[Mapping[str, Any]], part: Part) -> list[str]:
        """The containers of a carousel's pictures, each of them ready: exileum/meta-mcp #138."""
        made = list(part.known("children") or ())
        for child in children[len(made) :]:
            made.append(await self._made(child, part))
            await part.keep(children=made)
        for id_ in made:
            state, why = await self._settled(id_, part)
            if state != "FINISHED":
                raise await self._anew(state, why, part)
        return made

    async def _made(self, told: Mapping[str, Any], part: Part) -> str:
        form = {name: "true" if value is True else value for name, value in told.items()}
        path = f"/{self.version}/{self.account}/{self.dialect.creates}"
        request = self.opened.build_request("POST", path, data=form)
        try:
            found: Any = http.body(await http.exchange(self.opened, request, judge=judge))
        except graph.NotFetched as error:
            raise await _unfetched(str(error), told, part) from error
        with http.reading(found):
            return str(found["id"])

    async def _until_room(self, part: Part) -> None:
        """Ask for the day's quota, which differs from account to account."""
        used, config = part.quota
        path = f"/{self.version}/{self.account}/{self.dialect.limit}"
        told: Any = await http.get(self.opened, path, {"fields": f"{used},{config}"}, judge=judge)
        try:
            count, most = told["data"][0][used], told["data"][0][config]["quota_total"]
            is_full = count >= most
        except (LookupError, TypeError):
            return  # it does not say; publishing will
        if is_full:
            raise TryLater(f"{count} of {most} posts in 24 hours are used", after=FULL)

    async def _settled(self, id_: str, part: Part) -> tuple[str, str]:
        """What became of a container, and what is said about that.

        Sometimes it is not to be read although it is there (Postiz #1562): then "UNREADABLE".
        """
        fields = f"{self.dialect.state},{self.dialect.why}"
        request = self.opened.build_request("GET", f"/{self.version}/{id_}", params={"fields": fields})
        with _asking(part):
            for look in range(LOOKS):
                if look:
                    await anyio.sleep(self.pause)
                answer = await http.exchange(self.opened, request, judge=judge, telling=graph.is_not_there)
                if graph.is_not_there(answer):
                    return "UNREADABLE", graph.said(answer)
                found: Any = http.body(answer)
                with http.reading(found):
                    state, why = str(found[self.dialect.state]), str(found.get(self.dialect.why) or "")
                if state != "IN_PROGRESS":
                    return state, why
        said = "its container has not been ready for a while"
        raise Unclear(said) if part.known("publishing") else TryLater(said, after=60)

    async def _anew(self, state: str, why: str, part: Part) -> SendError:
        """Forget a container, which is not published, so that there will be another one; what to raise."""
        said = f"its container is {state}: {why or 'no reason given'}"
        at = _publishing(part)
        if state == "UNREADABLE" and at and datetime.now(UTC) - at < LASTS:
            return Unclear(said)
        await part.keep(container=None, children=None, publishing=None)
        if state == "EXPIRED":  # nobody came for it in time, which says nothing about the next one
            return TryLater(said, after=0)
        if UNFETCHED.search(why):
            return await _unfetched(said, part.payload, part)
        bad = (part.known("bad") or 0) + 1
        await part.keep(bad=bad)
        if bad < ATTEMPTS:
            return TryLater(said, after=60)
        return AccountTrouble(said) if state == "UNREADABLE" else Refused(said)

    # --- from here on it may be seen ---

    async def _publish(self, id_: str, part: Part) -> dict[str, Any]:
        await part.keep(publishing=part.known("publishing") or datetime.now(UTC).isoformat())
        path = f"/{self.version}/{self.account}/{self.dialect.publishes}"
        request = self.opened.build_request("POST", path, data={"creation_id": id_})
        try:
            found: Any = http.body(await http.exchange(self.opened, request, judge=judge))
        except graph.Spoilt as error:
            raise await self._anew("ERROR", str(error), part) from error
        with http.reading(found):
            media = str(found["id"])
        await part.keep(part={"id": media})  # before anything else is asked, which may fail
        return {"id": media, "url": await self._permalink(media)}

    async def _permalink(self, media: str) -> str | None:
        """Where it can be seen; it is published, whether this is said or not (Postiz #1562)."""
        try:
            found: Any = await http.get(
                self.opened, f"/{self.version}/{media}", {"fields": "permalink"}, judge=judge
            )
            return str(found["permalink"])
        except (SendError, LookupError, TypeError):
            return None

    async def _afterwards(self, id_: str, part: Part) -> dict[str, Any]:
        """The receipt of what was published before; of its container, if it is not listed."""
        try:
            found = await self._listed(part)
        except (AccountTrouble, Refused):  # perhaps this key may not read; published it is
            found = None
        if found:
            return found
        looks = (part.known("looks") or 0) + 1
        await part.keep(looks=looks)
        if looks < ATTEMPTS:
            raise Unclear("it is published, and not listed yet")
        return {"id": id_, "kept": {"is_container": True}}

    async def _listed(self, part: Part) -> dict[str, Any] | None:
        """Among the account's own since the first call to publish it, by its words: not just the newest."""
        words = self.dialect.words
        since = _publishing(part) or datetime.now(UTC) - LASTS
        asked = {
            "fields": f"id,{words},timestamp,permalink",
            "since": str(int((since - graph.CLOCKS).timestamp())),
            "limit": "100",
        }
        path = f"/{self.version}/{self.account}/{part.listed}"
        with _asking(part):
            told: Any = await http.get(self.opened, path, asked, judge=judge)
        with http.reading(told):
            for one in told["data"]:
                is_since = datetime.fromisoformat(one["timestamp"]) >= since - graph.CLOCKS
                ours = graph.letters(str(part.payload.get(words) or ""))
                if is_since and graph.letters(one.get(words) or "") == ours:
                    return {"id": str(one["id"]), "url": one.get("permalink")}
        return None


def _publishing(part: Part) -> datetime | None:
    """When its container was first to be published."""
    at = part.known("publishing")
    return datetime.fromisoformat(at) if at else None


def _asking(part: Part) -> AbstractContextManager[None]:
    """Around questions, which publish nothing; after a call that may have, their silence leaves that open."""
    return nullcontext() if part.known("publishing") else preparing()


async def _unfetched(said: str, told: Mapping[str, Any], part: Part) -> SendError:
    """What it means that Meta did not get a picture: at first nothing, for now and then that happens."""
    times = (part.known("unfetched") or 0) + 1
    await part.keep(unfetched=times)
    if times < ATTEMPTS:
        return TryLater(said, after=60 * times)
    children: Sequence[Mapping[str, Any]] = told.get("children") or ()
    pictures = ", ".join(str(one["image_url"]) for one in (told, *children) if "image_url" in one)
    return AccountTrouble(
        f"Meta cannot fetch {pictures}: the address must be open to all, and no robots.txt, no firewall "
        f"and no rule against hotlinks may keep facebookexternalhit out ({said})"
    )
