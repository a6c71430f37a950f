"""The pages on which readers come, choose and go.

GET changes nothing: programs open every link of a mail before its reader does, and some run what is on the
page. Each change is a form that says by a field of its own what it wants; any other POST does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from distributor.app import App
from distributor.config import Cadence, Newsletter
from distributor.reception import Choice, Reader, Wish, masked
from distributor.web.pages import Pages, field, fields, route
from distributor.web.rates import Rates
from distributor.web.zones import hours, time_in, zones
from subscribers.model import CADENCES, Evidence, Source, Subscription, is_disposable, normal_address
from subscribers.store import ANY_HOUR

STAMP = timedelta(days=1)  # for which a form that we showed counts as ours
WEEKS = ("1", "2", "4")  # of a pause
HONEYPOT = "homepage"  # a field that no person sees; programs that fill in forms like its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A newsletter as the page of preferences shows it."""

    name: str
    newsletter: Newsletter
    place: Subscription | None

    @property
    def is_wanted(self) -> bool:
        return self.place is not None and self.place.state == "confirmed"

    @property
    def cadence(self) -> Cadence:
        """What is ticked: theirs, or what is usual."""
        return self.place.cadence if self.place is not None else self.newsletter.usual_cadence

    @property
    def topics(self) -> tuple[str, ...]:
        return self.place.topics if self.place else ()


class Visitors:
    """`/subscribe`, `/confirm/…`, `/preferences/…` and `/unsubscribe/…`."""

    def __init__(self, app: App, pages: Pages) -> None:
        self._app = app
        self._pages = pages
        self._rates = Rates()
        self._tokens = app.tokens  # now: the first time, their secret is made and written down

    @property
    def routes(self) -> list[BaseRoute]:
        theirs = "/preferences/{token}"
        both = {
            "/subscribe": (self._form, self._subscribe),
            "/subscribe/": (self._form, self._subscribe),  # as links on Hugo's sites end
            "/confirm/{token}": (self._question, self._confirm),
            "/unsubscribe/{token}": (self._leaving, self._leave),
            theirs: (self._preferences, self._choose),
            f"{theirs}/pause": (self._preferences, self._pause),
            f"{theirs}/address": (self._preferences, self._move),
            f"{theirs}/data": (self._preferences, self._data),
            f"{theirs}/erase": (self._last_question, self._erase),
        }
        return [
            *(Route(path, route(*handlers), methods=["GET", "POST"]) for path, handlers in both.items()),
            *(
                Route(path, route(self._without_token), methods=["GET"])
                for path in ("/unsubscribe", "/preferences")
            ),
        ]

    # --- coming ---

    def _form(self, request: Request) -> Response:
        chosen = tuple(request.query_params.getlist("newsletter"))
        return self._subscribing(newsletters=tuple(name for name in chosen if name in self._newsletters))

    def _subscribing(
        self,
        *,
        newsletters: Sequence[str] = (),
        errors: Mapping[str, str] | None = None,
        address: str = "",
        name: str = "",
    ) -> Response:
        if not self._newsletters:
            return self._pages.trouble(404)
        only = tuple(self._newsletters) if len(self._newsletters) == 1 else ()
        return self._pages.show(
            "subscribe",
            status=422 if errors else 200,
            chosen=tuple(newsletters) or only,
            errors=errors or {},
            address=address,
            name=name,
            stamp=self._stamp(),
            honeypot=HONEYPOT,
        )

    def _subscribe(self, request: Request, form: FormData) -> Response:
        address, name = field(form, "email"), field(form, "name", at_most=200)
        wait = self._rates.requester(_ip(request), is_stamped=self._is_stamped(form))
        if wait:
            return self._too_often(wait)
        if field(form, HONEYPOT):  # a program, which is to think that it was heard
            return self._pages.show("asked", address=address)
        chosen = fields(form, "newsletter") or self._usual_newsletters()
        known = tuple(name for name in chosen if name in self._newsletters)
        if errors := self._mistakes(address, known):
            return self._subscribing(newsletters=known, errors=errors, address=address, name=name)
        if wait := self._rates.mailbox(address):
            return self._too_often(wait)
        wish = Wish(
            address=address,
            newsletters=known,
            name=name,
            topics=fields(form, "topic") or None,
            cadence=_cadence(field(form, "cadence")),
        )
        words = self._pages.words
        try:
            self._app.reception.subscribe(
                wish, self._evidence(request, "form", f"{words.consent} [{words.subscribe_button}]")
            )
        except ValueError:  # of a form that offers what there is not
            errors = {"newsletter": words.wrong_choice}
            return self._subscribing(newsletters=known, errors=errors, address=address, name=name)
        return self._pages.show("asked", address=address)

    def _usual_newsletters(self) -> tuple[str, ...]:
        """What a form means that names none: the only one there is."""
        return tuple(self._newsletters) if len(self._newsletters) == 1 else ()

    def _mistakes(self, address: str, newsletters: Sequence[str]) -> dict[str, str]:
        """Field -> what is wrong with it."""
        wrong = self._wrong_address(address)
        found = {"email": wrong} if wrong else {}
        return found if newsletters else found | {"newsletter": self._pages.words.no_newsletter}

    def _wrong_address(self, address: str) -> str:
        words = self._pages.words
        if not address:
            return str(words.no_address)
        try:
            return str(words.disposable_address) if is_disposable(normal_address(address)) else ""
        except ValueError:
            return str(words.wrong_address)

    def _stamp(self) -> str:
        """Says that a form is ours, for a while; it names nobody."""
        return self._tokens.expiring("form", 0, 0, self._app.clock() + STAMP)

    def _is_stamped(self, form: FormData) -> bool:
        return self._tokens.read_expiring("form", field(form, "stamp"), self._app.clock()) is not None

    # --- confirming ---

    def _question(self, request: Request, *, status: int = 200) -> Response:
        token = request.path_params["token"]
        found = self._app.reception.invitation(token)
        if found is None:
            return self._no_question(token)
        return self._pages.show(
            "confirm",
            status=status,
            invitation=found,
            titles=self._titles(found.newsletters),
            is_answer=False,
        )

    def _confirm(self, request: Request, form: FormData) -> Response:
        if field(form, "confirm") != "yes":
            return self._question(request, status=400)
        token = request.path_params["token"]
        before = self._app.reception.invitation(token)
        if before is None:
            return self._no_question(token)
        words = self._pages.words
        wording = words.change_button if before.kind == "change" else words.confirm_button
        titles = self._titles(before.newsletters)
        said = f"{', '.join(titles)} [{wording}]" if titles else f"[{wording}]"
        found = self._app.reception.confirm(token, self._evidence(request, "form", said))
        if found is None:
            return self._no_question(token)
        return self._pages.show(
            "confirm", invitation=found, titles=self._titles(found.newly or found.newsletters), is_answer=True
        )

    def _no_question(self, token: str) -> Response:
        words = self._pages.words
        step = (words.subscribe_again, f"{self._pages.root}/subscribe")
        if self._app.reception.has_expired(token):
            text = words.question_over_text
            return self._pages.trouble(410, title=words.question_over_title, text=text, step=step)
        return self._pages.trouble(404, title=words.no_token_title, text=words.no_token_text, step=step)

    # --- choosing ---

    def _preferences(
        self,
        request: Request,
        *,
        status: int = 200,
        said: str = "",
        errors: Mapping[str, str] | None = None,
        typed: str = "",
    ) -> Response:
        """The page of all that a reader can choose, with what was just *said* to have been done.

        A new address that was *typed* wrong is there again, to be put right.
        """
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        now, language = self._app.clock(), self._pages.publication.language
        person = reader.person
        words = self._pages.words
        oceans = {"Atlantic": words.atlantic, "Indian": words.indian_ocean}
        here = person.timezone or self._pages.publication.timezone
        return self._pages.show(
            "preferences",
            status=422 if errors else status,
            token=request.path_params["token"],
            person=person,
            address=masked(person.address),
            is_silent=person.suppressed not in (None, "unsubscribed"),
            offers=self._offers(person.subscriptions),
            paused_until=_paused_until(person.subscriptions, now),
            hours=hours(language),
            zones=zones(language, now, oceans, also=person.timezone or ""),
            zone=here,
            time=time_in(here, now, language),
            weeks=WEEKS,
            said=said,
            errors=errors or {},
            typed=typed,
        )

    def _offers(self, places: Sequence[Subscription]) -> list[Offer]:
        """Each newsletter there is, those of theirs first."""
        known = {place.list: place for place in places}
        offers = [
            Offer(name=name, newsletter=newsletter, place=known.get(name))
            for name, newsletter in self._newsletters.items()
        ]
        return sorted(offers, key=lambda offer: not offer.is_wanted)

    def _choose(self, request: Request, form: FormData) -> Response:
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        if field(form, "save") != "yes":
            return self._preferences(request, status=400)
        words = self._pages.words
        try:
            self._app.reception.choose(
                request.path_params["token"],
                _choices(form, self._offers(reader.person.subscriptions)),
                name=field(form, "name", at_most=200) if "name" in form else None,
                hour=_hour(field(form, "hour")),
                timezone=field(form, "timezone") if "timezone" in form else None,
                evidence=self._evidence(request, "preferences", f"[{words.save_button}]"),
            )
        except ValueError:
            return self._preferences(request, errors={"choices": words.wrong_choice})
        return self._preferences(request, said=words.saved)

    def _pause(self, request: Request, form: FormData) -> Response:
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        weeks = field(form, "weeks")
        words = self._pages.words
        if weeks not in ("0", *WEEKS):
            return self._preferences(request, status=400)
        until = self._app.clock() + timedelta(weeks=int(weeks)) if weeks != "0" else None
        wording = getattr(words, f"pause_{weeks}") if until else words.resume_button
        evidence = self._evidence(request, "preferences", f"[{wording}]")
        self._app.reception.pause(request.path_params["token"], until, evidence)
        return self._preferences(request, said=words.paused if until else words.resumed)

    def _move(self, request: Request, form: FormData) -> Response:
        """Ask another address whether it is the reader's."""
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        if "email" not in form:
            return self._preferences(request, status=400)
        address, token = field(form, "email"), request.path_params["token"]
        if wrong := self._wrong_address(address):
            return self._preferences(request, errors={"address": wrong}, typed=address)
        if wait := self._rates.reader(token) or self._rates.mailbox(address):
            return self._too_often(wait)
        words = self._pages.words
        evidence = self._evidence(request, "preferences", f"[{words.address_button}]")
        self._app.reception.change_address(token, address, evidence)
        return self._preferences(request, said=words.address_asked % {"address": address})

    def _data(self, request: Request, form: FormData) -> Response:
        """All that is known of the reader, as a file."""
        if field(form, "data") != "yes":
            return self._preferences(request, status=400)
        token = request.path_params["token"]
        if wait := self._rates.reader(token):
            return self._too_often(wait)
        found = self._app.reception.data(token)
        if found is None:
            return self._no_reader()
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        return Response(
            orjson.dumps(found, option=options) + b"\n",
            media_type="application/json",
            headers={"content-disposition": 'attachment; filename="my-data.json"'},
        )

    # --- going ---

    def _leaving(self, request: Request, *, status: int = 200) -> Response:
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        subscribed = _subscribed(reader)
        if reader.newsletter not in subscribed:
            return self._left(request, reader, (reader.newsletter,), status=status)
        return self._pages.show(
            "unsubscribe",
            status=status,
            token=request.path_params["token"],
            title=self._title(reader.newsletter),
            others=[self._title(name) for name in subscribed if name != reader.newsletter],
        )

    def _leave(self, request: Request, form: FormData) -> Response:
        """One click by a mail program (RFC 8058), or a button of the page."""
        if field(form, "List-Unsubscribe") == "One-Click":
            return self._one_click(request)
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        if field(form, "undo") == "yes":
            return self._undo(request, fields(form, "again"))
        said = field(form, "unsubscribe")
        if said not in ("this", "everything"):
            return self._leaving(request, status=400)
        words = self._pages.words
        everything = said == "everything"
        wording = words.leave_everything if everything else words.leave_button
        evidence = self._evidence(request, "preferences", f"[{wording}]")
        self._app.reception.unsubscribe(request.path_params["token"], evidence, everything=everything)
        ended = _subscribed(reader) if everything else (reader.newsletter,)
        return self._left(request, reader, ended, everything=everything)

    def _one_click(self, request: Request) -> Response:
        """The mail program shows nothing of the answer; it sends no cookie and follows no redirect."""
        evidence = self._evidence(request, "one-click", "List-Unsubscribe=One-Click")
        if self._app.reception.unsubscribe(request.path_params["token"], evidence):
            return PlainTextResponse("You are unsubscribed.\n")
        return PlainTextResponse("This link is not complete.\n", status_code=404)

    def _left(
        self,
        request: Request,
        reader: Reader,
        ended: Sequence[str],
        *,
        everything: bool = False,
        status: int = 200,
    ) -> Response:
        return self._pages.show(
            "left",
            status=status,
            token=request.path_params["token"],
            title=self._title(reader.newsletter),
            everything=everything,
            again=[name for name in ended if name in self._newsletters],
        )

    def _undo(self, request: Request, names: Sequence[str]) -> Response:
        """Whoever left by mistake stays; the link came to their mailbox, so it needs no further question."""
        words = self._pages.words
        evidence = self._evidence(request, "preferences", f"[{words.undo_button}]")
        if not names:
            return self._leaving(request, status=400)
        try:
            choices = dict.fromkeys(names, Choice())
            self._app.reception.choose(request.path_params["token"], choices, evidence=evidence)
        except ValueError:
            return self._leaving(request, status=400)
        return self._preferences(request, said=words.undone)

    def _last_question(self, request: Request, *, status: int = 200) -> Response:
        reader = self._reader(request)
        if reader is None:
            return self._no_reader()
        return self._pages.show(
            "erase", status=status, token=request.path_params["token"], address=masked(reader.person.address)
        )

    def _erase(self, request: Request, form: FormData) -> Response:
        if field(form, "erase") != "yes":
            return self._last_question(request, status=400)
        words = self._pages.words
        evidence = self._evidence(request, "preferences", f"[{words.erase_button}]")
        if not self._app.reception.erase(request.path_params["token"], evidence):
            return self._no_reader()
        return self._pages.show("message", title=words.erased_title, text=words.erased_text, step=None)

    # --- what they share ---

    @property
    def _newsletters(self) -> Mapping[str, Newsletter]:
        return self._app.config.newsletters

    def _title(self, name: str) -> str:
        """What a newsletter is called; one that is not configured any more by its name."""
        return self._newsletters[name].title if name in self._newsletters else name

    def _titles(self, names: Sequence[str]) -> list[str]:
        return [self._title(name) for name in names]

    def _reader(self, request: Request) -> Reader | None:
        return self._app.reception.reader(request.path_params["token"])

    def _no_reader(self) -> Response:
        words = self._pages.words
        return self._pages.trouble(404, title=words.no_token_title, text=words.no_reader_text)

    def _without_token(self, _request: Request) -> Response:
        """Where a copy of a mail leads that is nobody's, in the archive."""
        words = self._pages.words
        step = (words.subscribe, f"{self._pages.root}/subscribe")
        return self._pages.show("message", title=words.own_link_title, text=words.own_link_text, step=step)

    def _too_often(self, seconds: int) -> Response:
        return self._pages.trouble(429, headers={"retry-after": str(seconds)})

    def _evidence(self, request: Request, source: Source, wording: str) -> Evidence:
        agent = request.headers.get("user-agent", "")
        return Evidence(source=source, at=self._app.clock(), ip=_ip(request), agent=agent, wording=wording)


def _ip(request: Request) -> str:
    return request.client.host if request.client else ""


def _cadence(text: str) -> Cadence | None:
    return next((cadence for cadence in CADENCES if cadence == text), None)


def _hour(text: str) -> int | None:
    """An hour that was chosen, or that there is none; nonsense is left for `Reception` to refuse."""
    if not text:
        return None
    return (
        int(text)
        if text.isascii() and text.isdigit() and len(text) < 3
        else ANY_HOUR
        if text == "any"
        else 99
    )


def _choices(form: FormData, offers: Sequence[Offer]) -> dict[str, Choice]:
    """What was ticked of the newsletters that the form showed; others, newer than it, stay as they are."""
    shown, wanted = fields(form, "shown"), fields(form, "wanted")
    found: dict[str, Choice] = {}
    for offer in offers:
        name = offer.name
        if name in shown and name in wanted:
            topics = fields(form, f"topic:{name}") if offer.newsletter.topics else None
            found[name] = Choice(topics=topics, cadence=_cadence(field(form, f"cadence:{name}")))
        elif name in shown and offer.is_wanted:
            found[name] = Choice(is_wanted=False)
    return found


def _subscribed(reader: Reader) -> tuple[str, ...]:
    return tuple(place.list for place in reader.person.subscriptions if place.state == "confirmed")


def _paused_until(places: Sequence[Subscription], now: datetime) -> datetime | None:
    """Until when nothing comes of any newsletter; None if something does."""
    ends = [place.paused_until for place in places if place.state == "confirmed"]
    paused = [end for end in ends if end is not None and end > now]
    return min(paused) if paused and len(paused) == len(ends) else None
