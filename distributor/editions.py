"""Editions of a newsletter: select, render, freeze.

Rendering happens outside the transaction, because pictures may have to be fetched; the transaction then
counts the readers again and keeps nothing if they changed into some for whom nothing was rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jinja2 import Environment
from sqlalchemy import Connection

from distributor.articles.shelf import Shelf
from distributor.config import Config, Newsletter
from distributor.errors import Conflict, NotFound
from distributor.model import BREAKING, Article, Campaign, CampaignState, Digest, Due, Picture, Publication
from distributor.planning import places, selection, slots
from distributor.planning.places import Timetable
from distributor.planning.selection import Reader
from distributor.planning.slots import Slot
from distributor.rendering.digest import digest
from distributor.rendering.lint import Finding, held_back, lint_digest
from distributor.rendering.pictures import Pictures
from distributor.store import aging, campaigns, freezing
from distributor.store import articles as article_store
from distributor.store.database import Database
from distributor.store.freezing import Audience, Cohort, Share
from distributor.tracing import span
from subscribers import store as audience_store
from subscribers.segments import Segment

DIGEST = 20  # priority: the lower is claimed first
NEWS = timedelta(days=1)  # what has been public for longer breaks no more; the next edition has it
LOOKED_AT = 200  # articles, for what a new reader has missed
ATTEMPTS = 3  # at freezing, while readers keep changing under it
EVERYBODY = ("instant", "daily", "weekly", "monthly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An edition to be made."""

    name: str  # the newsletter's
    slot: str  # its key in the ledger
    due_at: datetime
    cadences: tuple[str, ...]
    handled_at: datetime | None = None  # the scheduled slot that is thereby done
    only: tuple[str, ...] = ()  # keys of articles sent by themselves, whatever readers' positions
    subscriber: int | None = None  # only this reader
    segment: Segment | None = None  # only these readers
    due: tuple[Due, ...] = ()  # only readers of these places, where each has their own time
    zone: str | None = None  # in which days are told; None: the site's
    priority: int = DIGEST
    is_asked_for: bool = False  # by a person, who was told whatever is unusual about it
    is_welcome: bool = False  # only what lies before its reader's position, so that no later edition has it

    @property
    def is_scheduled(self) -> bool:
        """Whether it serves its readers up to now, rather than telling them one thing in between."""
        return not self.only


Choice = tuple[str, ...]  # keys of the articles for a cohort, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What each cohort is to get, before it is rendered."""

    audience: Audience
    cohorts: tuple[Cohort, ...]
    choices: Mapping[tuple[str, int, str], Choice | str]  # by cohort; or the reason why nothing
    articles: Mapping[str, Article]
    ids: Mapping[str, int]
    through: int
    readers: int = 0  # confirmed, of every cadence
    unusual: str | None = None  # what a person should know before it is sent

    @property
    def excluded(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for cohort in self.cohorts:
            choice = self.choices[cohort.key]
            if isinstance(choice, str):
                counts[choice] = counts.get(choice, 0) + cohort.size
        return counts

    @property
    def held(self) -> list[Cohort]:
        return [cohort for cohort in self.cohorts if self.choices[cohort.key] == selection.TOO_FEW]

    def chosen(self) -> list[Choice]:
        return list(dict.fromkeys(c for c in self.choices.values() if not isinstance(c, str)))


class Editions:
    """Plans, renders and freezes editions."""

    def __init__(
        self,
        config: Config,
        database: Database,
        shelf: Shelf,
        *,
        publication: Publication,
        pictures: Pictures,
        environment: Environment,
        batch_size: Callable[[str], int],
    ) -> None:
        self._config = config
        self._database = database
        self._shelf = shelf
        self._publication = publication
        self._pictures = pictures
        self._environment = environment
        self._batch_size = batch_size
        self._timetables: dict[str, Timetable] = {}

    # --- what is due ---

    def due(self, now: datetime) -> list[Order]:
        """The editions that schedules and breaking news ask for now."""
        with self._database.read() as db:
            known = campaigns.channels(db)
        orders: list[Order] = []
        for name, newsletter in self._config.newsletters.items():
            if row := known.get(name):
                orders += self._breaking(name, newsletter, now, start=row.start)
                scheduled = self._by_place if newsletter.is_by_place else self._scheduled
                orders += scheduled(name, newsletter, now, handled_at=row.handled_at)
        return orders

    def _scheduled(
        self, name: str, newsletter: Newsletter, now: datetime, *, handled_at: datetime
    ) -> Iterable[Order]:
        zone = self.zone(newsletter)
        found = slots.due_slots(
            newsletter.schedule, zone, handled_at=handled_at, now=now, catch_up=newsletter.catch_up
        )
        for slot in found:
            yield self._order(name, slot, zone)

    def _by_place(
        self, name: str, newsletter: Newsletter, now: datetime, *, handled_at: datetime
    ) -> Iterable[Order]:
        """What is due in each place that readers have, by their own clocks."""
        timetable = self.timetable(name)
        with self._database.read() as db:
            lacks = audience_store.lacks_places(db, name)
        if lacks:
            with self._database.write() as db:
                audience_store.ensure_places(db, name, last_slot=timetable.last, since=handled_at, now=now)
        with self._database.read() as db:
            marks = audience_store.marks(db, name)
        for slot, due in places.due(timetable, marks, now=now, catch_up=newsletter.catch_up).items():
            with self._database.read() as db:
                is_taken = campaigns.campaign_at(db, name, slot.key) is not None
            yield Order(
                name=name,
                # Who came to this place after its slot is served late, and by an edition of their own.
                slot=f"{slot.key} late {now:%Y-%m-%dT%H:%M:%S.%fZ}" if is_taken else slot.key,
                due_at=slot.at,
                cadences=tuple(sorted({one.cadence for one in due})),
                handled_at=slot.at,
                due=tuple(due),
                zone=timetable.zone(due[0].place).key,
            )

    def timetable(self, name: str) -> Timetable:
        """A newsletter's schedule, as it is read in each place."""
        if name not in self._timetables:
            newsletter = self.newsletter(name)
            self._timetables[name] = Timetable(newsletter.schedule, self.zone(newsletter))
        return self._timetables[name]

    def _order(self, name: str, slot: Slot, zone: ZoneInfo) -> Order:
        return Order(
            name=name,
            slot=slot.key,
            due_at=slot.at,
            cadences=slots.due_cadences(slot, EVERYBODY, zone),
            handled_at=slot.at,
        )

    def _breaking(self, name: str, newsletter: Newsletter, now: datetime, *, start: int) -> Iterable[Order]:
        if "instant" not in newsletter.cadences:
            return
        with self._database.read() as db:
            recent = self._shelf.public(db, beyond=start, now=now, since=now - NEWS)
            found = [
                (id_, article)
                for id_, article in recent
                if article.wishes.breaking
                and selection.is_for_newsletters(article)
                and campaigns.campaign_at(db, name, _breaking_slot(id_)) is None
            ]
        for id_, article in found:
            slot = _breaking_slot(id_)
            yield self.single(name, [(id_, article)], now, cadences=("instant",), slot=slot)

    def zone(self, newsletter: Newsletter) -> ZoneInfo:
        """The newsletter's time zone; the site's, where it is each reader's own."""
        own = None if newsletter.is_by_place else newsletter.timezone
        return ZoneInfo(own or self._publication.timezone)

    # --- what a person asks for ---

    def by_hand(
        self, name: str, now: datetime, *, subscriber: int | None = None, segment: Segment | None = None
    ) -> Order:
        """An edition now, of what is new to each reader."""
        to = f" to {subscriber}" if subscriber is not None else ""
        slot = f"by hand {now:%Y-%m-%dT%H:%M:%S.%fZ}{to}"
        return Order(
            name=name,
            slot=slot,
            due_at=now,
            cadences=EVERYBODY,
            subscriber=subscriber,
            segment=segment,
            is_asked_for=True,
        )

    def single(
        self,
        name: str,
        chosen: Sequence[tuple[int, Article]],
        now: datetime,
        *,
        cadences: tuple[str, ...] = EVERYBODY,
        subscriber: int | None = None,
        segment: Segment | None = None,
        slot: str | None = None,
    ) -> Order:
        """These articles by themselves, to all who have not had them."""
        to = f" to {subscriber}" if subscriber is not None else ""
        ids = " ".join(str(id_) for id_, _ in chosen)
        return Order(
            name=name,
            slot=slot or f"articles {ids} by hand {now:%Y-%m-%dT%H:%M:%S.%fZ}{to}",
            due_at=now,
            cadences=cadences,
            only=tuple(article.key for _, article in chosen),
            subscriber=subscriber,
            segment=segment,
            priority=BREAKING,
            is_asked_for=slot is None,
        )

    def welcome(self, name: str, subscriber: int, asked_at: datetime, now: datetime) -> Order | None:
        """What a new reader is sent at once: the newest that others have had; None where that is nothing."""
        everyone = Audience(newsletter=name, cadences=EVERYBODY, start=0, subscriber=subscriber, at=now)
        with self._database.read() as db:
            counted = freezing.cohorts(db, everyone)
            if not counted or counted[0].is_paused:
                return None  # they left again, or take a break
            stands = counted[0].position
            recent = self._shelf.public(db, beyond=max(0, stands - LOOKED_AT), now=now)
        had = [one for _, one in recent if one.sequence is not None and one.sequence <= stands]
        chosen = selection.select(
            Reader(topics=tuple(filter(None, counted[0].topics.split(","))), position=0),
            [article for article in had if selection.is_for_newsletters(article)],
            topics=self.newsletter(name).topics,
        )
        if isinstance(chosen, str):
            return None
        return Order(
            name=name,
            slot=f"welcome {subscriber} {asked_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            due_at=now,
            cadences=EVERYBODY,
            only=tuple(article.key for article in chosen[-self.newsletter(name).max_articles :]),
            subscriber=subscriber,
            priority=BREAKING,
            is_asked_for=True,
            is_welcome=True,
        )

    # --- making one ---

    def make(self, order: Order, now: datetime) -> Campaign | None:
        """Render and freeze an edition; None when it was planned before."""
        rendered: dict[Choice, Digest] = {}
        for _ in range(ATTEMPTS):
            with self._database.read() as db:
                is_made = campaigns.campaign_at(db, order.name, order.slot) is not None
                draft = None if is_made else self.draft(db, order, now)
            if draft is None:
                self._note_handled(order)
                return None
            for choice in draft.chosen():
                if choice not in rendered:
                    with span("render", channel=order.name):
                        rendered[choice] = self.render(order, draft, choice)
            with (
                suppress(Conflict),
                span("freeze", channel=order.name),
                self._database.write(snapshot=True) as db,
            ):
                article_store.lock(db)
                audience_store.hold(db, order.name)
                draft = self.draft(db, order, now)
                if all(choice in rendered for choice in draft.chosen()):
                    return self._freeze(db, order, draft, rendered, now)
        raise Conflict(f"the readers of {order.name} kept changing while its edition was made; try again")

    def draft(self, db: Connection, order: Order, now: datetime) -> Draft:
        """Who would get what."""
        newsletter = self.newsletter(order.name)
        row = campaigns.channels(db)[order.name]
        audience = self._audience(db, order, row.start, now)
        counted = freezing.cohorts(db, audience)
        awake = (cohort.position for cohort in counted if not cohort.is_paused)
        # A place where nobody reads is served through all there is, without looking at it.
        nobody = article_store.last_sequence(db) if order.due else row.start
        beyond = min(awake, default=nobody)
        told = self._candidates(db, order, now, beyond=beyond)
        told, through = _up_to_its_slot(order, told, now, last=article_store.last_sequence(db))
        received = self._received(db, counted)
        choices = {
            cohort.key: PAUSED
            if cohort.is_paused
            else self._choice(order, newsletter, cohort, told, received[cohort.received])
            for cohort in counted
        }
        return Draft(
            audience=audience,
            cohorts=tuple(counted),
            choices=choices,
            articles={article.key: article for _, article in told},
            ids={article.key: id_ for id_, article in told},
            through=through,
            readers=(readers := audience_store.count(db, order.name)),
            unusual=_unusual(readers, campaigns.last_audience(db, order.name), newsletter.audience_guard),
        )

    def draft_of(self, db: Connection, order: Order, keys: Sequence[str], now: datetime) -> Draft:
        """A draft for nobody in particular: these articles, as somebody without any would get them."""
        told = self._shelf.named(db, keys, now=now)
        cohort = Cohort(topics="", position=0, received="")
        return Draft(
            audience=Audience(newsletter=order.name, cadences=order.cadences, start=0, at=now),
            cohorts=(cohort,),
            choices={cohort.key: tuple(keys)},
            articles={article.key: article for _, article in told},
            ids={article.key: id_ for id_, article in told},
            through=0,
        )

    def _audience(self, db: Connection, order: Order, start: int, now: datetime) -> Audience:
        everyone = Audience(
            newsletter=order.name,
            cadences=order.cadences,
            start=0 if order.only else start,
            at=now,
            subscriber=order.subscriber,
            segment=order.segment,
            has_places=audience_store.has_places(db, order.name),
            due=order.due,
            slot_at=order.handled_at,
        )
        if order.only:
            overlapping = campaigns.carrying(db, order.name, self._shelf.ids(db, order.only).values())
        else:
            overlapping = campaigns.overlapping(db, order.name, beyond=freezing.lowest_position(db, everyone))
        remembered = aging.memories(db, overlapping)
        aged = {memory.campaign for memory in remembered}
        return replace(
            everyone,
            overlapping=tuple(id_ for id_ in overlapping if id_ not in aged),
            remembered=tuple(remembered),
        )

    def _candidates(
        self, db: Connection, order: Order, now: datetime, *, beyond: int
    ) -> list[tuple[int, Article]]:
        if order.only:
            return self._shelf.named(db, order.only, now=now)
        public = self._shelf.public(db, beyond=beyond, now=now)
        return [(id_, article) for id_, article in public if selection.is_for_newsletters(article)]

    def _received(self, db: Connection, counted: Sequence[Cohort]) -> dict[str, frozenset[str]]:
        """`Cohort.received` -> the keys of the articles in those renditions."""
        told = {
            cohort.received: frozenset(filter(None, cohort.received.split(",")))
            for cohort in counted
            if not cohort.is_paused
        }
        carried = campaigns.articles_in(db, {hash_ for hashes in told.values() for hash_ in hashes})
        return {
            received: frozenset(key for hash_ in hashes for key in carried.get(hash_, ()))
            for received, hashes in told.items()
        }

    def _choice(
        self,
        order: Order,
        newsletter: Newsletter,
        cohort: Cohort,
        told: Sequence[tuple[int, Article]],
        received: frozenset[str],
    ) -> Choice | str:
        articles = [article for _, article in told]
        if order.only:
            left = tuple(article.key for article in articles if article.key not in received)
            return left or HAVE_IT
        reader = Reader(
            topics=tuple(filter(None, cohort.topics.split(","))),
            position=cohort.position,
            received=received,
        )
        chosen = selection.select(
            reader, articles, topics=newsletter.topics, at_least=newsletter.min_articles
        )
        return chosen if isinstance(chosen, str) else tuple(article.key for article in chosen)

    def render(self, order: Order, draft: Draft, choice: Choice) -> Digest:
        """The digest of these articles."""
        newsletter = self.newsletter(order.name)
        articles = [draft.articles[key] for key in choice]
        banners = dict(zip(choice, self.banners(draft, choice), strict=True))
        body = None
        if order.only and len(articles) == 1:
            with self._database.read() as db:
                body = self._shelf.body(db, articles[0])
        return digest(
            replace(self._publication, timezone=order.zone) if order.zone else self._publication,
            newsletter,
            articles,
            banners,
            edition_at=order.due_at,
            media_url=self.media_url(newsletter),
            environment=self._environment,
            body=body,
            thumbnails=self._pictures.thumbnails(banners) if body is None else {},
            topics={article.key: selection.topics_of(article, newsletter.topics) for article in articles},
        )

    def banners(self, draft: Draft, choice: Choice) -> tuple[Picture, ...]:
        """The banners of these articles, in their order."""
        return tuple(self._pictures.prepare_all(draft.articles[key] for key in choice))

    def media_url(self, newsletter: Newsletter) -> Callable[[Picture], str]:
        """What a mail calls a picture: an address of ours, its own, or a part of the mail itself."""
        hosted = f"{self._config.web.public_url}/media"
        return {
            "inline": lambda picture: f"cid:{picture.hash}",
            "hosted": lambda picture: f"{hosted}/{picture.name}",
            "link": lambda picture: picture.url or f"{hosted}/{picture.name}",
        }[newsletter.pictures]

    def _freeze(
        self,
        db: Connection,
        order: Order,
        draft: Draft,
        rendered: Mapping[Choice, Digest],
        now: datetime,
    ) -> Campaign | None:
        hashes = {choice: rendered[choice].hash for choice in draft.chosen()}
        shares = [
            Share(cohort=cohort, rendition=hashes[choice])
            for cohort in draft.cohorts
            if not isinstance(choice := draft.choices[cohort.key], str)
        ]
        if order.only and not shares:
            return None  # who might want it later can still be sent it
        if order.due and not draft.cohorts:  # a slot of places where nobody reads now leaves no trace
            freezing.move_positions(db, draft.audience, held=(), through=draft.through)
            return None
        contents = [rendered[choice] for choice in draft.chosen()]
        campaign = campaigns.add_campaign(db, self._campaign(order, draft, contents, now))
        if campaign is None:
            return None
        for choice in draft.chosen():
            campaigns.keep_rendition(db, _complete(rendered[choice], choice), draft.ids)
        if shares:
            freezing.freeze(
                db,
                campaign_id=campaign.id,
                audience=draft.audience,
                shares=shares,
                batch_size=self._batch_size(order.name),
                due_at=order.due_at,
            )
        if order.is_scheduled:
            freezing.move_positions(db, draft.audience, held=draft.held, through=draft.through)
        if order.handled_at:
            campaigns.handled(db, order.name, at=order.handled_at)
        return campaign

    def _campaign(self, order: Order, draft: Draft, contents: Sequence[Digest], now: datetime) -> Campaign:
        newsletter = self.newsletter(order.name)
        lint = self._held_back(order.name, contents)
        held = "; ".join(filter(None, (None if order.is_asked_for else draft.unusual, lint))) or None
        state = CampaignState.SCHEDULED
        if newsletter.approval == "required" or held:
            state = CampaignState.AWAITING_APPROVAL
        return Campaign(
            id=0,
            channel=order.name,
            kind="newsletter",
            slot=order.slot,
            state=state if contents else CampaignState.SKIPPED,
            created_at=now,
            due_at=order.due_at,
            priority=order.priority,
            through=draft.through,
            candidates=sum(cohort.size for cohort in draft.cohorts),
            excluded=draft.excluded,
            overlaps=not order.is_scheduled or draft.audience.runs_ahead,
            audience=draft.readers,
            reason=held if contents else _why_skipped(draft),
        )

    def _note_handled(self, order: Order) -> None:
        """A slot planned by another daemon needs no more planning here either."""
        if order.handled_at:
            with self._database.write() as db:
                campaigns.handled(db, order.name, at=order.handled_at)

    def lint(self, name: str, content: Digest) -> list[Finding]:
        """What is wrong with an edition of a newsletter."""
        providers = (self._config.providers[provider] for provider in self.newsletter(name).providers)
        is_outbox = all(provider.type == "outbox" for provider in providers)
        return lint_digest(content, public_url=self._config.web.public_url, is_outbox=is_outbox)

    def _held_back(self, name: str, contents: Iterable[Digest]) -> str | None:
        """Why a person has to look at an edition before it is sent, if so."""
        if self.newsletter(name).lint != "block":
            return None
        return held_back(finding for content in contents for finding in self.lint(name, content))

    def newsletter(self, name: str) -> Newsletter:
        try:
            return self._config.newsletters[name]
        except KeyError:
            known = ", ".join(self._config.newsletters) or "(none)"
            raise NotFound(f"there is no newsletter {name!r}; there are: {known}") from None


HAVE_IT = "they have it already"
PAUSED = "they take a break"


def _unusual(readers: int, before: int | None, guard: int) -> str | None:
    """What a person should know of the readers' number: it changed by more than *guard* percent."""
    if not guard or not before or abs(readers - before) <= max(FEW, before * guard / 100):
        return None
    change = "more" if readers > before else "fewer"
    percent = round(100 * abs(readers - before) / before)
    return f"{readers:,} readers, {percent} % {change} than the {before:,} of the last edition"


FEW = 20  # readers: a small list may double in a day


def _breaking_slot(article_id: int) -> str:
    return f"breaking article {article_id}"


def _up_to_its_slot(
    order: Order, told: list[tuple[int, Article]], now: datetime, *, last: int
) -> tuple[list[tuple[int, Article]], int]:
    """What a scheduled edition looks at: nothing that was published after its slot, if it is made later.

    So slots that are caught up on one by one are the editions they would have been. Where the order of
    numbers is not the order of publication, the cut comes before the first number that is too new.
    """
    if order.handled_at is None:
        return told, last
    for place, (_, article) in enumerate(told):
        if order.due_at < article.published_at <= now and article.sequence is not None:
            return told[:place], article.sequence - 1
    return told, last


def _why_skipped(draft: Draft) -> str:
    if not draft.cohorts:
        return "no confirmed readers of the cadences that are due"
    return "; ".join(sorted(draft.excluded)) or "nothing new"


def _complete(content: Digest, choice: Choice) -> Digest:
    """Check that a rendition accounts for every article it was made for."""
    missing = set(choice) - {carried.key for carried in content.articles}
    assert not missing, f"a rendition lost {missing}"
    return content
