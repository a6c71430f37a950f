"""Asks the outside whether it is as the configuration takes it to be; it changes nothing there.

Every question has its own few seconds and all are asked at once, so that the whole takes no longer than the
slowest, also where nothing can be reached.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio
import dns.asyncresolver
import dns.exception
import dns.resolver
import httpx
from anyio import to_thread

from distributor.config import Config, mailbox
from distributor.delivery.keyring import Keyring
from distributor.delivery.routes import EmailWay, Route, SocialWay
from distributor.errors import AccountTrouble, SendError
from distributor.providers.protocol import Allowing, Probing
from distributor.store.database import Database
from distributor.vendors import OUTBOX

PATIENCE = 15.0  # seconds that one question has
AT_ONCE = 20
SKEW, FAR_OFF = timedelta(seconds=30), timedelta(minutes=5)  # beyond the second, signed webhooks are refused
ENDS_SOON = timedelta(days=14)  # of a certificate

State = Literal["ok", "warning", "wrong"]
Texts = Callable[[str], Awaitable[Sequence[str]]]  # a name's TXT records; none: an empty list


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one question brought."""

    about: str
    state: State
    told: str
    remedy: str | None = None


Question = Callable[[], Awaitable[list[Finding]]]


class Doctor:
    """One examination of a set-up; *texts* and *transport* stand for DNS and the web in tests."""

    def __init__(
        self,
        config: Config,
        database: Database,
        routes: dict[str, Route],
        *,
        site: str,
        clock: Callable[[], datetime],
        texts: Texts | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        certificate: Callable[[str, int], Awaitable[datetime]] | None = None,
    ) -> None:
        self._config = config
        self._database = database
        self._routes = routes
        self._site = site
        self._clock = clock
        self._texts = texts or txt
        self._transport = transport
        self._certificate = certificate or ends_at

    async def examine(self) -> list[Finding]:
        """Every finding, in the order of the configuration."""
        questions = [
            *self._providers(),
            *self._accounts(),
            *self._domains(),
            *self._web(),
            *self._people(),
        ]
        found: list[list[Finding]] = [[] for _ in questions]
        places = anyio.CapacityLimiter(AT_ONCE)

        async def ask(place: int, about: str, question: Question) -> None:
            async with places:
                found[place] = await _bounded(about, question)

        async with anyio.create_task_group() as group:
            for place, (about, question) in enumerate(questions):
                group.start_soon(ask, place, about, question)
        return [one for some in found for one in some]

    # --- who sends ---

    def _providers(self) -> Iterator[tuple[str, Question]]:
        ways = {way.name: way for route in self._routes.values() for way in route.ways}
        for name, settings in self._config.providers.items():
            way = ways.get(name)
            if isinstance(way, EmailWay) and settings.type != OUTBOX:
                about = f"provider {name}"
                yield about, self._asking(about, way.provider.connected())

    def _accounts(self) -> Iterator[tuple[str, Question]]:
        for name, channel in self._config.channels.items():
            way = self._routes[name].ways[0]
            if isinstance(way, SocialWay) and channel.account != OUTBOX:
                about = f"channel {name}"
                keyring = Keyring(self._database, way.name, way.seal, clock=self._clock, sleep=anyio.sleep)
                yield about, self._asking(about, way.provider.connected(keyring))

    def _asking(self, about: str, connecting: AbstractAsyncContextManager[Any]) -> Question:
        async def question() -> list[Finding]:
            try:
                async with connecting as calls:
                    return [await _probed(about, calls)]
            except AccountTrouble as error:
                remedy = "make a new key, or mend the account; then put the key into .env"
                return [Finding(about=about, state="wrong", told=str(error), remedy=remedy)]
            except SendError as error:
                remedy = "look at its status page, and whether this machine may go out; then try again"
                return [Finding(about=about, state="wrong", told=str(error), remedy=remedy)]

        return question

    # --- what stands in DNS ---

    def _domains(self) -> Iterator[tuple[str, Question]]:
        for domain in sorted({domain_of(one.from_) for one in self._config.newsletters.values()}):
            providers = {
                p
                for n in self._config.newsletters.values()
                if domain_of(n.from_) == domain
                for p in n.providers
            }
            if all(self._config.providers[name].type == OUTBOX for name in providers):
                continue
            yield f"SPF of {domain}", self._spf(domain)
            yield f"DMARC of {domain}", self._dmarc(domain)
            yield f"DKIM of {domain}", self._dkim(domain, sorted(providers))

    def _spf(self, domain: str) -> Question:
        """RFC 7208, 4.5: one record, or none counts."""

        async def question() -> list[Finding]:
            about = f"SPF of {domain}"
            found = [text for text in await self._texts(domain) if text.lower().split(" ")[0] == "v=spf1"]
            if len(found) > 1:
                remedy = "make one TXT record of them: with two, neither counts"
                return [
                    Finding(about=about, state="wrong", told=f"there are {len(found)} records", remedy=remedy)
                ]
            if not found:
                remedy = "add the TXT record that your provider names, if mails bounce to your own domain"
                return [Finding(about=about, state="warning", told="there is none", remedy=remedy)]
            return [Finding(about=about, state="ok", told=found[0])]

        return question

    def _dmarc(self, domain: str) -> Question:
        """RFC 7489, 6.6.3: at the domain, else at the one above it that is somebody's."""

        async def question() -> list[Finding]:
            about, parts = f"DMARC of {domain}", domain.split(".")
            for above in range(max(1, len(parts) - 1)):
                name = f"_dmarc.{'.'.join(parts[above:])}"
                for text in await self._texts(name):
                    if text.replace(" ", "").lower().startswith("v=dmarc1;p="):
                        return [Finding(about=about, state="ok", told=f"{name}: {text}")]
            remedy = (
                f"add a TXT record _dmarc.{domain} with v=DMARC1; p=none: Gmail, Yahoo and Outlook want one"
            )
            return [Finding(about=about, state="wrong", told="there is none", remedy=remedy)]

        return question

    def _dkim(self, domain: str, providers: Sequence[str]) -> Question:
        async def question() -> list[Finding]:
            found = []
            for provider in providers:
                settings = self._config.providers[provider]
                own = settings.dkim
                selectors = (own.selector,) if own else SELECTORS.get(settings.type, ())
                if selectors or settings.type != OUTBOX:
                    signs = (own.domain if own else None) or domain
                    found.append(
                        await self._key(
                            f"DKIM of {signs} for {provider}", signs, selectors, is_ours=own is not None
                        )
                    )
            return found

        return question

    async def _key(self, about: str, domain: str, selectors: Sequence[str], *, is_ours: bool) -> Finding:
        for selector in selectors:
            name = f"{selector}._domainkey.{domain}"
            if any("p=" in text for text in await self._texts(name)):
                return Finding(about=about, state="ok", told=f"a key at {name}")
        if is_ours:
            name = f"{selectors[0]}._domainkey.{domain}"
            remedy = f"add the TXT record {name} with the public key of dkim.key_file"
            return Finding(about=about, state="wrong", told=f"no key at {name}", remedy=remedy)
        told = (
            f"no key under the names that are usual there ({', '.join(selectors)})"
            if selectors
            else "its name is the vendor's secret"
        )
        remedy = "look at the vendor's page whether the domain is verified"
        return Finding(about=about, state="warning", told=told, remedy=remedy)

    # --- how we are reached ---

    def _web(self) -> Iterator[tuple[str, Question]]:
        url = self._config.web.public_url
        parts = urlsplit(url)
        if self._config.web.listen is not None or not _is_at_home(url):
            yield "public_url", self._reached(url)
        if parts.scheme == "https" and parts.hostname:
            yield "certificate", self._certified(parts.hostname, parts.port or 443)
        if self._site:
            yield "clock", self._clock_against(self._site)

    def _reached(self, url: str) -> Question:
        async def question() -> list[Finding]:
            about = "public_url"
            if _is_at_home(url):
                remedy = "set [web] public_url to the address that readers and providers reach"
                return [
                    Finding(about=about, state="warning", told=f"{url} is this machine's own", remedy=remedy)
                ]
            answer = await self._get(f"{url}/healthz")
            if answer.text.strip() != "alive":
                remedy = (
                    f"let `distributor run` run, and the web server in front pass {url} on to [web] listen"
                )
                told = f"{url}/healthz answers {answer.status_code}, and not as we do"
                return [Finding(about=about, state="wrong", told=told, remedy=remedy)]
            if not url.startswith("https://"):
                remedy = "speak HTTPS: one-click unsubscribing (RFC 8058) counts with it only"
                return [
                    Finding(about=about, state="wrong", told=f"{url} answers, without TLS", remedy=remedy)
                ]
            return [Finding(about=about, state="ok", told=f"{url} answers")]

        return question

    def _certified(self, host: str, port: int) -> Question:
        async def question() -> list[Finding]:
            until = await self._certificate(host, port)
            told = f"that of {host} is valid until {until:%Y-%m-%d}"
            if until - self._clock() < ENDS_SOON:
                remedy = "renew it, and look why that did not happen by itself"
                return [Finding(about="certificate", state="warning", told=told, remedy=remedy)]
            return [Finding(about="certificate", state="ok", told=told)]

        return question

    def _clock_against(self, url: str) -> Question:
        """By the Date header that the site's web server sends (RFC 9110, 6.6.1)."""

        async def question() -> list[Finding]:
            answer = await self._get(url)
            try:
                off = abs(self._clock() - parsedate_to_datetime(answer.headers["date"]))
            except (KeyError, TypeError, ValueError):
                return [Finding(about="clock", state="warning", told=f"{url} sends no date to compare with")]
            told = f"differs from that of {urlsplit(url).hostname} by {off.total_seconds():.0f} s"
            if off <= SKEW:
                return [Finding(about="clock", state="ok", told=told)]
            remedy = "set it by NTP (timedatectl set-ntp true): signatures and schedules go by it"
            return [
                Finding(
                    about="clock", state="wrong" if off > FAR_OFF else "warning", told=told, remedy=remedy
                )
            ]

        return question

    def _people(self) -> Iterator[tuple[str, Question]]:
        """Whether Apprise understands who is to be told; nobody is, for an examination."""

        async def question() -> list[Finding]:
            urls = [url.get_secret_value() for url in self._config.alerts.to]
            wrong = await to_thread.run_sync(_not_understood, urls)
            remedy = "write it as https://github.com/caronc/apprise/wiki has it"
            return [
                Finding(
                    about="alerts", state="wrong", told=f"no. {place} of to is not understood", remedy=remedy
                )
                for place in wrong
            ] or [Finding(about="alerts", state="ok", told=f"{len(urls)} of to are understood")]

        if self._config.alerts.to:
            yield "alerts", question

    async def _get(self, url: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, timeout=PATIENCE) as client:
            return await client.get(url, headers={"user-agent": "distributor-doctor"})


async def _probed(about: str, calls: object) -> Finding:
    if isinstance(calls, Allowing):
        allowed = await calls.allowance()
        told = f"the key opens the account; it may send {_number(allowed.per_second)} a second and "
        told += f"{_number(allowed.per_day)} a day, of which {allowed.used:,} are used"
        return Finding(about=about, state="ok", told=told)
    if isinstance(calls, Probing):
        await calls.probe()
        return Finding(about=about, state="ok", told="the key opens the account")
    told = "nothing can be asked there that has no consequences"
    return Finding(about=about, state="warning", told=told, remedy="send something to yourself")


def _number(count: float | None) -> str:
    return "any number" if count is None else f"{count:,.0f}"


async def _bounded(about: str, question: Question) -> list[Finding]:
    """The answer, or in words why there is none; never an error, and never late."""
    told = f"no answer within {PATIENCE:.0f} seconds"
    with anyio.move_on_after(PATIENCE):
        try:
            return await question()
        except dns.exception.DNSException as error:
            told = f"DNS does not answer: {error or type(error).__name__}"
        except ssl.SSLError as error:
            told = f"TLS: {error.reason or error}"
        except (httpx.HTTPError, OSError) as error:
            told = f"not reached: {error or type(error).__name__}"
    remedy = "look whether this machine reaches the Internet, and whether the name is right"
    return [Finding(about=about, state="wrong", told=told, remedy=remedy)]


def _not_understood(urls: Sequence[str]) -> list[int]:
    import apprise  # 0.3 s to import, and only where people are named

    return [place for place, url in enumerate(urls, 1) if not apprise.Apprise().add(url)]


async def txt(name: str) -> list[str]:
    """The TXT records of a name; none, where there is no such name."""
    try:
        found = await dns.asyncresolver.resolve(name, "TXT", lifetime=PATIENCE / 2)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    return [b"".join(record.strings).decode(errors="replace") for record in found]


async def ends_at(host: str, port: int) -> datetime:
    """Until when a server's certificate is valid; raises ssl.SSLError where it is not."""
    return await to_thread.run_sync(_ends_at, host, port, abandon_on_cancel=True)


def _ends_at(host: str, port: int) -> datetime:
    with (
        socket.create_connection((host, port), timeout=PATIENCE) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as private,
    ):
        seconds = ssl.cert_time_to_seconds(str((private.getpeercert() or {})["notAfter"]))
        return datetime.fromtimestamp(seconds, UTC)


def domain_of(sender: str) -> str:
    return mailbox(sender)[1].rpartition("@")[2].lower()


def _is_at_home(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def hidden(found: Sequence[Finding], hide: Callable[[str], str]) -> list[Finding]:
    """The findings without the secrets that a far end may have repeated."""
    return [replace(one, told=hide(one.told)) for one in found]


# Under which names each vendor usually lets its keys stand: no more than a hint, so what is not found is only
# a warning. Amazon SES and Postmark make up a name for each domain.
SELECTORS = {
    "brevo": ("brevo1", "brevo2", "mail"),
    "mailersend": ("mlsend", "mlsend2"),
    "mailgun": ("mx", "k1", "smtp", "pic"),
    "mailjet": ("mailjet",),
    "resend": ("resend",),
    "sendgrid": ("s1", "s2"),
    "sparkpost": ("scph0000",),
}
