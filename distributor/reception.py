"""Where readers come, choose and go: what the pages, the API and other programs' hooks ask for.

Whoever holds a token has the mailbox that it was sent to. Whoever holds none may only ask, and is told the
same whether the address is known or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection

from distributor.config import Cadence, Newsletter
from distributor.errors import WrongState
from distributor.model import Notice
from distributor.notices import Notices
from distributor.store import events, heard, welcomes
from distributor.store.database import Database
from subscribers import store as audience
from subscribers.model import Entry, Evidence, Subscriber, is_disposable, known_zone, normal_address
from subscribers.tokens import Place, Ticket, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody writes into a form."""

    address: str
    newsletters: tuple[str, ...]
    name: str = ""
    topics: tuple[str, ...] | None = None  # None: what they had, or everything
    cadence: Cadence | None = None
    hour: int | None = None
    timezone: str | None = None
    locale: str | None = None
    attributes: Mapping[str, str | None] = field(default_factory=dict)  # None: none any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a form or a CRM says of somebody.

    Of a wish to change, what is None stays, and an empty choice or `audience.ANY_HOUR` is taken back.
    """

    what: Literal["subscribe", "unsubscribe", "update", "erase"]
    wish: Wish  # of somebody who leaves, no newsletter stands for all
    evidence: Evidence
    is_confirmed: bool = False  # by the owner of the address, where it comes from
    new_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A question that was mailed, and what is still to be answered."""

    kind: Notice
    newsletters: tuple[str, ...]  # names; of a change of address none
    address: str  # masked: "a•••@example.org"
    is_done: bool = False
    newly: tuple[str, ...] = ()  # newsletters that this answer confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose token it is, and of which newsletter."""

    newsletter: str
    person: Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a reader wants of one newsletter."""

    is_wanted: bool = True
    topics: tuple[str, ...] | None = None
    cadence: Cadence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What came of letting somebody be a reader."""

    subscriber: int
    joined: tuple[str, ...]  # newsletters that they read from now on
    left_alone: tuple[str, ...]  # those that they left before


Answered = Literal["confirmed", "expired"]


class Reception:
    """Each method is one transaction; mails are queued in it, and sent by whoever delivers."""

    def __init__(
        self,
        database: Database,
        tokens: Tokens,
        notices: Notices,
        newsletters: Mapping[str, Newsletter],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.newsletters = newsletters
        self._database = database
        self._tokens = tokens
        self._notices = notices
        self._clock = clock

    # --- coming ---

    def subscribe(self, wish: Wish, evidence: Evidence) -> None:
        """Ask the address whether it wants the newsletters; nobody learns whether it is known.

        Raises:
            ValueError: the wish cannot be granted to anybody; the message says why, for whoever wrote it.
        """
        entry = self._entry(wish)
        with self._database.write() as db:
            self._ask(db, entry, evidence, self._clock())

    def _ask(self, db: Connection, entry: Entry, evidence: Evidence, now: datetime) -> None:
        asked = audience.ask(db, entry, usual=self._usual, evidence=evidence, now=now)
        if asked.may_mail and asked.subscriber is not None:
            self._notices.send(db, asked.to_confirm[0], "confirmation", asked.subscriber, now=now)

    @property
    def _usual(self) -> dict[str, Cadence]:
        return {name: newsletter.usual_cadence for name, newsletter in self.newsletters.items()}

    def join(self, wish: Wish, evidence: Evidence) -> Joined:
        """Let somebody of whom a program says how they agreed be a reader; of a reader nothing changes.

        Raises:
            ValueError: the wish cannot be granted to anybody.
            WrongState: they left all of it, or nothing may be sent to them; nobody is brought back.
        """
        entry = self._entry(wish)
        now = self._clock()
        with self._database.write() as db:
            taken = audience.take(db, entry, usual=self._usual, evidence=evidence, now=now)
            person = audience.find(db, entry.address, now=now)
            places = person.subscriptions if person else ()
            reads = {place.list for place in places if place.state == "confirmed"}
            if person is None or taken.suppressed or not reads & {*entry.lists}:
                raise WrongState("they unsubscribed, or nothing may be sent to them, and that stays so")
            self._welcome(db, person.id, taken.lists, now)
        left = tuple(name for name in entry.lists if name not in reads)
        return Joined(subscriber=person.id, joined=taken.lists, left_alone=left)

    def _entry(self, wish: Wish) -> Entry:
        """A wish, checked.

        Raises:
            ValueError: it asks for what there is not.
        """
        if not wish.newsletters:
            raise ValueError("no newsletter is chosen")
        for name in wish.newsletters:
            if name not in self.newsletters:
                raise ValueError(f"there is no newsletter {name[:60]!r}")
        address = _lasting(wish.address)
        self._check_choice(Choice(topics=wish.topics, cadence=wish.cadence), *wish.newsletters)
        return Entry(
            address=address,
            lists=tuple(dict.fromkeys(wish.newsletters)),
            name=wish.name,
            topics=wish.topics,
            cadence=wish.cadence,
            hour=_hour(wish.hour),
            timezone=known_zone(wish.timezone) if wish.timezone else None,
            locale=wish.locale,
            attributes={name: value for name, value in wish.attributes.items() if value is not None},
        )

    def _check_choice(self, choice: Choice, *names: str) -> None:
        for name in names:
            newsletter = self.newsletters[name]
            if choice.cadence is not None and choice.cadence not in newsletter.cadences:
                raise ValueError(f"{newsletter.title} does not come {choice.cadence}")
            for topic in choice.topics or ():
                if topic not in newsletter.topics:
                    raise ValueError(f"{newsletter.title} has no topic {topic[:60]!r}")

    def invitation(self, token: str) -> Invitation | None:
        """What a confirmation link asks; None when it is none of ours, or over."""
        kind, ticket = self._ticket(token)
        if kind is None or ticket is None:
            return None
        with self._database.read() as db:
            return self._invitation(db, kind, ticket)

    def _invitation(self, db: Connection, kind: Notice, ticket: Ticket) -> Invitation:
        if kind == "change":
            address = audience.waiting_address(db, ticket.subscriber)
            return Invitation(
                kind=kind, newsletters=(), address=masked(address or ""), is_done=address is None
            )
        person = audience.person(db, ticket.subscriber, now=self._clock())
        waiting = audience.waiting(db, ticket.subscriber)
        return Invitation(
            kind=kind,
            newsletters=waiting or self._list_of(db, ticket),
            address=masked(person.address if person else ""),
            is_done=person is None or not waiting,
        )

    def _list_of(self, db: Connection, ticket: Ticket) -> tuple[str, ...]:
        name = audience.list_names(db).get(ticket.number)
        return (name,) if name else ()

    def confirm(self, token: str, evidence: Evidence) -> Invitation | None:
        """Answer a question with yes, once or twice. None: there is no such question, or it is over."""
        kind, ticket = self._ticket(token)
        if kind is None or ticket is None:
            return None
        now = self._clock()
        with self._database.write() as db:
            asked = self._invitation(db, kind, ticket)
            if kind == "change":
                audience.confirm_change(db, new=ticket.subscriber, evidence=evidence, now=now)
                return asked
            done = audience.confirm(db, subscriber=ticket.subscriber, evidence=evidence, now=now)
            self._welcome(db, ticket.subscriber, done.lists, now)
        return Invitation(
            kind=kind, newsletters=asked.newsletters, address=asked.address, is_done=True, newly=done.lists
        )

    def _welcome(self, db: Connection, subscriber: int, lists: tuple[str, ...], now: datetime) -> None:
        """Have those who are new sent what everybody has read already, where a newsletter does so."""
        for name in lists:
            if name in self.newsletters and self.newsletters[name].welcome == "edition":
                welcomes.ask(db, name, subscriber, now=now)

    def has_expired(self, token: str) -> bool:
        """Whether it is a confirmation link of ours whose time is over."""
        return any(self._tokens.has_expired(kind, token, self._clock()) for kind in KINDS)

    def _ticket(self, token: str) -> tuple[Notice | None, Ticket | None]:
        for kind in KINDS:
            if ticket := self._tokens.read_expiring(kind, token, self._clock()):
                return kind, ticket
        return None, None

    # --- choosing ---

    def reader(self, token: str) -> Reader | None:
        """Whose token it is; None when it is none of ours, or they were forgotten."""
        place = self._tokens.read(token)
        if place is None:
            return None
        with self._database.read() as db:
            name = audience.list_names(db).get(place.list)
            person = audience.person(db, place.subscriber, now=self._clock())
        return Reader(newsletter=name, person=person) if name and person else None

    def choose(
        self,
        token: str,
        choices: Mapping[str, Choice],
        *,
        name: str | None = None,
        hour: int | None = None,
        timezone: str | None = None,
        evidence: Evidence,
    ) -> None:
        """Keep what a reader chose; what is None stays, `audience.ANY_HOUR` and "" take a choice back.

        A newsletter that is new to them is confirmed at once: the token was sent to their mailbox.

        Raises:
            ValueError: something is chosen that there is not; nothing was kept.
        """
        place = self._place(token)
        for newsletter, choice in choices.items():
            if newsletter not in self.newsletters:
                raise ValueError(f"there is no newsletter {newsletter[:60]!r}")
            self._check_choice(choice, newsletter)
        if timezone:
            known_zone(timezone)
        if hour != audience.ANY_HOUR:
            _hour(hour)
        now = self._clock()
        with self._database.write() as db:
            for newsletter, choice in choices.items():
                self._take(db, place.subscriber, newsletter, choice, evidence, now)
            audience.choose(
                db,
                subscriber=place.subscriber,
                name=name,
                hour=hour,
                timezone=timezone,
                evidence=evidence,
                now=now,
            )

    def _take(
        self, db: Connection, person: int, newsletter: str, choice: Choice, evidence: Evidence, now: datetime
    ) -> None:
        if not choice.is_wanted:
            audience.unsubscribe(db, subscriber=person, list_name=newsletter, evidence=evidence, now=now)
            return
        new = audience.confirm(
            db, subscriber=person, lists=[newsletter], usual=self._usual, evidence=evidence, now=now
        )
        self._welcome(db, person, new.lists, now)
        audience.choose(
            db,
            subscriber=person,
            list_name=newsletter,
            topics=choice.topics,
            cadence=choice.cadence,
            evidence=evidence,
            now=now,
        )

    def pause(self, token: str, until: datetime | None, evidence: Evidence) -> None:
        """Send a reader nothing of any newsletter until then; None: go on."""
        place = self._place(token)
        with self._database.write() as db:
            audience.pause(db, subscriber=place.subscriber, until=until, evidence=evidence, now=self._clock())

    def change_address(self, token: str, address: str, evidence: Evidence) -> None:
        """Ask another address whether it is the reader's; nobody learns whether it is known.

        Raises:
            ValueError: it is no address.
        """
        place = self._place(token)
        wanted = _lasting(address)
        with self._database.write() as db:
            names = audience.list_names(db)
            self._ask_change(
                db, place.subscriber, [names.get(place.list, "")], wanted, evidence, self._clock()
            )

    def _ask_change(
        self,
        db: Connection,
        person: int,
        newsletters: Iterable[str],
        address: str,
        evidence: Evidence,
        now: datetime,
    ) -> None:
        """Ask an address whether it is that person's, in the name of one of their newsletters."""
        new = audience.ask_change(db, subscriber=person, address=address, evidence=evidence, now=now)
        name = next((name for name in newsletters if name in self.newsletters), None)
        if new is not None and name is not None:
            self._notices.send(db, name, "change", new, now=now)

    def change(
        self,
        subscriber: int,
        choices: Mapping[str, Choice],
        *,
        name: str | None = None,
        hour: int | None = None,
        timezone: str | None = None,
        locale: str | None = None,
        attributes: Mapping[str, str | None] | None = None,
        evidence: Evidence,
    ) -> bool:
        """Keep what a program says that a reader chose; what is None stays. True when something changed.

        Raises:
            ValueError: something is chosen that there is not; nothing was kept.
            WrongState: they do not subscribe to one of the newsletters; nothing was kept.
        """
        for newsletter, choice in choices.items():
            if newsletter not in self.newsletters:
                raise ValueError(f"there is no newsletter {newsletter[:60]!r}")
            self._check_choice(choice, newsletter)
        now = self._clock()
        with self._database.write() as db:
            person = audience.person(db, subscriber, now=now)
            places = {place.list for place in person.subscriptions} if person else set()
            for newsletter in choices:
                if newsletter not in places:
                    raise WrongState(f"subscriber {subscriber} does not subscribe to {newsletter!r}")
            changed = audience.choose(
                db,
                subscriber=subscriber,
                name=name,
                hour=hour,
                timezone=timezone,
                locale=locale,
                attributes=attributes,
                evidence=evidence,
                now=now,
            )
            for newsletter, choice in choices.items():
                changed |= audience.choose(
                    db,
                    subscriber=subscriber,
                    list_name=newsletter,
                    topics=choice.topics,
                    cadence=choice.cadence,
                    evidence=evidence,
                    now=now,
                )
        return changed

    def rest(self, subscriber: int, until: datetime | None, evidence: Evidence) -> bool:
        """Send a reader nothing of any newsletter until then; None: go on. True when that is news."""
        with self._database.write() as db:
            return audience.pause(
                db, subscriber=subscriber, until=until, evidence=evidence, now=self._clock()
            )

    # --- going ---

    def end(self, subscriber: int, newsletter: str | None, evidence: Evidence) -> bool:
        """End a subscription, or all; True when there was something to end."""
        with self._database.write() as db:
            return audience.unsubscribe(
                db, subscriber=subscriber, list_name=newsletter, evidence=evidence, now=self._clock()
            )

    def unsubscribe(self, token: str, evidence: Evidence, *, everything: bool = False) -> bool:
        """End the subscription that the token is of, or all; False when the token is none of ours.

        Ending it again is as good as ending it.
        """
        place = self._tokens.read(token)
        if place is None:
            return False
        with self._database.write() as db:
            name = audience.list_names(db).get(place.list)
            if name is None:
                return False
            audience.unsubscribe(
                db,
                subscriber=place.subscriber,
                list_name=None if everything else name,
                evidence=evidence,
                now=self._clock(),
            )
        return True

    def data(self, token: str) -> dict[str, Any] | None:
        """All that is known of a reader, as JSON can say it."""
        place = self._tokens.read(token)
        return self.data_of(place.subscriber) if place else None

    def data_of(self, subscriber: int) -> dict[str, Any] | None:
        with self._database.read() as db:
            known = audience.personal_data(db, subscriber, now=self._clock())
            if known is None:
                return None
            return known | {"messages": events.messages_of(db, subscriber)}

    def erase(self, token: str, evidence: Evidence) -> bool:
        """Forget the reader; False when there is none any more."""
        place = self._tokens.read(token)
        return self.erase_person(place.subscriber, evidence) is not None if place else False

    def erase_person(self, subscriber: int, evidence: Evidence) -> audience.Proof | None:
        """Forget a person: here, and in what providers reported of them."""
        with self._database.write() as db:
            return self._erase(db, subscriber, evidence, self._clock())

    def _erase(
        self, db: Connection, subscriber: int, evidence: Evidence, now: datetime
    ) -> audience.Proof | None:
        hash_ = audience.hash_of(db, subscriber)
        if hash_ is not None:
            events.forget(db, subscriber, hash_)
        return audience.erase(db, subscriber, evidence=evidence, now=now)

    # --- what other programs say ---

    def hear(self, id_: str, told: Told) -> bool:
        """Do what a form or a CRM says, once for each id; False when that was done before.

        It is done and remembered in one transaction, so that it is neither lost nor done twice.

        Raises:
            ValueError: it cannot be done for anybody; the message says why, and nothing was kept.
        """
        now = self._clock()
        with self._database.write() as db:
            is_new = heard.remember(db, id_, now=now)
            if is_new:
                self._do(db, told, now)
        return is_new

    def _do(self, db: Connection, told: Told, now: datetime) -> None:
        if told.what == "subscribe":
            self._bring(db, told, now)
            return
        address = normal_address(told.wish.address)
        person = audience.find(db, address, now=now)
        if told.what == "update":
            if person is not None:
                self._change(db, person, told, now)
        elif person is None:
            # Whom nobody knows here may be in a file that is imported tomorrow.
            if told.what == "erase" or not told.wish.newsletters:
                reason = audience.UNSUBSCRIBED
                audience.suppress(db, address, reason=reason, evidence=told.evidence, now=now)
        elif told.what == "erase":
            self._erase(db, person.id, told.evidence, now)
        else:
            self._let_go(db, person.id, told, now)

    def _bring(self, db: Connection, told: Told, now: datetime) -> None:
        """Ask somebody whether they want the newsletters, but for those that they need not be asked of."""
        entry = self._entry(told.wish)
        if told.is_confirmed:
            taken = audience.take(db, entry, usual=self._usual, evidence=told.evidence, now=now)
            person = audience.find(db, entry.address, now=now)
            if person is not None:
                self._welcome(db, person.id, taken.lists, now)
        # Of what they are readers of by now nothing is asked.
        self._ask(db, entry, told.evidence, now)

    def _change(self, db: Connection, person: Subscriber, told: Told, now: datetime) -> None:
        wish, evidence = told.wish, told.evidence
        self._check_choice(Choice(topics=wish.topics, cadence=wish.cadence), *wish.newsletters)
        for name in wish.newsletters or (None,):
            audience.choose(
                db,
                subscriber=person.id,
                list_name=name,
                topics=wish.topics,
                cadence=wish.cadence,
                hour=wish.hour,
                timezone=wish.timezone,
                locale=wish.locale,
                name=wish.name or None,
                attributes=wish.attributes,
                evidence=evidence,
                now=now,
            )
        if told.new_address:
            lists = [place.list for place in person.subscriptions]
            self._ask_change(db, person.id, lists, _lasting(told.new_address), evidence, now)

    def _let_go(self, db: Connection, person: int, told: Told, now: datetime) -> None:
        for name in told.wish.newsletters or (None,):
            audience.unsubscribe(db, subscriber=person, list_name=name, evidence=told.evidence, now=now)

    def _place(self, token: str) -> Place:
        place = self._tokens.read(token)
        if place is None:
            raise ValueError("the link is not complete")
        return place


KINDS: tuple[Notice, ...] = ("confirmation", "change")


def _lasting(address: str) -> str:
    """An address as mail servers understand it.

    Raises:
        ValueError: it is none, or of a mailbox that is thrown away.
    """
    try:
        wanted = normal_address(address)
    except ValueError as error:
        raise ValueError(f"{address.strip()[:80]!r} {error}") from None
    if is_disposable(wanted):
        raise ValueError("addresses of services that throw mailboxes away are not taken")
    return wanted


def _hour(hour: int | None) -> int | None:
    if hour is not None and not 0 <= hour <= 23:
        raise ValueError(f"{hour} is no hour of a day; they go from 0 to 23")
    return hour


def masked(address: str) -> str:
    """An address that its owner knows again, and nobody else learns: "a•••@example.org"."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}•••{at}{domain}" if at else ""
