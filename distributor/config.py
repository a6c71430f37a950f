"""`distributor.toml` and the environment, as one frozen `Config`.

Every problem is reported at once, with its line and remedy. Secrets come from the environment (or `.env`
beside the file) through `${NAME}` anywhere in a value, and are never printed.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import rtoml
from cronsim import CronSim, CronSimError
from dotenv import dotenv_values
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from distributor.errors import ConfigError, Problem
from distributor.vendors import ACCOUNT_SETTINGS, COMMON, NETWORKS, OUTBOX, VENDORS

FILE_NAME = "distributor.toml"

SUBSCRIBER = "subscriber"  # for a newsletter's time zone: each reader's own

Cadence = Literal["instant", "daily", "weekly", "monthly"]
Lint = Literal[
    "warn", "block", "off"
]  # what lint finds is shown; its errors wait for approval too; or neither


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            _no_zones() or f"{name[:60]!r} is no time zone; write one like Europe/Berlin"
        ) from error
    return name


def _no_zones() -> str | None:
    """What to do where no time zone is known at all."""
    try:
        ZoneInfo("Etc/UTC")
    except (OSError, ValueError, KeyError):
        return "there is no time zone database here; install it: pip install tzdata"
    return None


def _known_zone_or_readers(name: str) -> str:
    return name if name == SUBSCRIBER else _known_zone(name)


def _readable_cron(expression: str) -> str:
    try:
        if len(expression.split()) != 5:  # slots are named by the minute, so there are no seconds
            raise CronSimError("wrong number of fields")
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{expression!r} is no cron schedule; every day at seven is '0 7 * * *'") from error
    return expression


def _known_type(value: str) -> str:
    if value not in VENDORS:
        raise ValueError(f"{value!r} is no type of provider; there are: {', '.join(VENDORS)}")
    return value


def _no_header_injection(value: str) -> str:
    if any(not character.isprintable() for character in value):
        raise ValueError("line breaks and control characters cannot stand in a mail header")
    return value


def _mail_address(value: str) -> str:
    try:
        mailbox(value)
    except ValueError as error:
        raise ValueError(f"{error} Write it like The Daily <news@example.org>") from error
    return value


@lru_cache  # senders are few, and asked for with every call
def mailbox(text: str) -> tuple[str, str]:
    """The name and the address of "Name <address>", whatever the name has in it.

    The address has its domain in ASCII (RFC 5890) unless its local part is not, when it needs UTF-8 anyway.

    Raises:
        ValueError: there is no address; the message says why.
    """
    found = re.fullmatch(r"(.*?)\s*<([^<>]*)>\s*", text)
    name, address = found.groups() if found else ("", text)
    try:
        checked = validate_email(address.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    return name.strip().strip('"'), checked.ascii_email or checked.normalized


def _time_span(value: str) -> str:
    try:
        _, _ = (time.fromisoformat(part) for part in value.split("-"))
    except ValueError as error:
        raise ValueError(f"{value!r} is no span of time; write one like 22:00-07:00") from error
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value().encode()) < 16:
        raise ValueError("is too short to keep anything secret; it needs at least 16 characters")
    return value


def _one_topic(name: str) -> str:
    if not name.strip() or set(name) & set(",;|"):
        raise ValueError(
            "commas, semicolons and bars stand between topics, and cannot stand in the name of one"
        )
    return name


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w .-]{0,63}", name) or name[-1] in " .":
        raise ValueError("a name has letters, digits, dots, dashes and spaces, and 64 of them at most")
    return name


def _web_address(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s<>\"]+(/[^\s<>\"]*)?", value) or len(value) > 500:
        raise ValueError(f"{value!r} is no web address; it starts with https://")
    return value.rstrip("/")


def _hook_address(value: str) -> str:
    try:
        found = urlsplit(value)
        host = found.hostname or ""
        _ = found.port
    except ValueError:
        found, host = urlsplit(""), ""
    is_private_enough = found.scheme == "https" or (found.scheme == "http" and _is_loopback(host))
    if not (is_private_enough and host and value.isprintable() and " " not in value and len(value) <= 500):
        raise ValueError("is no address to tell anything: it starts with https://, or is on this machine")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host_and_port(value: str) -> str:
    found = re.fullmatch(r"(?:[^\s:\[\]/]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", value, re.ASCII)
    if found is None or int(found[1]) > 65535:
        raise ValueError(f"{value!r} is no place to listen at; write one like 127.0.0.1:8080 or [::1]:8080")
    return value


def _none_or_enough(days: int) -> int:
    if 0 < days < LEAST_DAYS:
        raise ValueError(f"is 0, which is for ever, or at least {LEAST_DAYS}: what is younger is still used")
    return days


LEAST_DAYS = 60


def _one_or_two(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _signing_key(value: SecretStr) -> SecretStr:
    """A key as Standard Webhooks has it: base64 of at least 16 bytes, behind "whsec_"."""
    text = value.get_secret_value().removeprefix("whsec_")
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) < 16:
        raise ValueError(
            "is no key to sign with: whsec_ and at least 16 bytes in base64, as `openssl rand -base64 32` "
            "makes them"
        )
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]
ZoneOfReaders = Annotated[str, AfterValidator(_known_zone_or_readers)]
Cron = Annotated[str, AfterValidator(_readable_cron)]
HeaderText = Annotated[str, AfterValidator(_no_header_injection)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
HookAddress = Annotated[str, AfterValidator(_hook_address)]
MailAddress = Annotated[HeaderText, AfterValidator(_mail_address)]
Listen = Annotated[str, AfterValidator(_host_and_port)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]  # BCP 47
TimeSpan = Annotated[str, StringConstraints(pattern=r"^\d\d:\d\d-\d\d:\d\d$"), AfterValidator(_time_span)]
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_two), Field(max_length=2)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_one_or_two), Field(max_length=2)]
SigningKey = Annotated[SecretStr, AfterValidator(_signing_key)]
SigningKeys = Annotated[tuple[SigningKey, ...], BeforeValidator(_one_or_two), Field(max_length=2)]
Name = Annotated[str, AfterValidator(_plain_name)]  # of a table; folders and headers are named by it
Topic = Annotated[str, AfterValidator(_one_topic)]
Days = Annotated[int, Field(ge=0, le=36500), AfterValidator(_none_or_enough)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)


class Site(_Table):
    """The Hugo site whose articles are carried."""

    content: Path | None = None  # absolute once loaded
    feeds: tuple[WebAddress, ...] = ()  # RSS, Atom or JSON Feed, for a site whose folder is elsewhere
    base_url: WebAddress | None = None  # default: baseURL of the site's own configuration
    timezone: ZoneName | None = None  # default: timeZone of the site's own configuration, else UTC
    title: HeaderText | None = None  # default: title of the site's own configuration
    language: Language | None = None  # default: languageCode of the site's own configuration
    logo: WebAddress | None = None  # of a picture above the newsletter's name
    imprint: Annotated[str, StringConstraints(max_length=1000)] = ""  # at the foot of mails; may have lines
    color: Color = "#1a4f8b"  # of headings, buttons and cards
    font: Path | None = None  # TrueType file for cards, where the one that is shipped lacks your script
    check_links: bool = False  # previews ask every link whether it answers
    gate: Literal["off", "page", "all"] = "off"  # what has to answer before an article is announced
    gate_deadline: timedelta = Field(timedelta(hours=1), ge=timedelta(0))  # seconds, or ISO 8601: "PT30M"
    gate_overdue: Literal["hold", "announce"] = "hold"  # what becomes then of articles without their page

    @model_validator(mode="after")
    def _has_articles(self) -> Site:
        if not self.content and not self.feeds:
            raise ValueError("say where the articles are: content = 'content', or feeds = ['https://…']")
        if not self.content and not (self.base_url and self.title):
            raise ValueError("without a content folder, base_url and title must be set")
        return self


class Database(_Table):
    url: str = "sqlite:///var/distributor.db"


class Web(_Table):
    public_url: WebAddress = "http://127.0.0.1:8080"  # where readers reach the pages and pictures
    listen: Listen | None = None  # where `run` and `serve` answer; without it `run` has no web endpoint
    secret: Secret = SecretStr("")  # signs readers' links
    proxies: tuple[str, ...] = ()  # the servers in front, by address or network: they say who asks
    published_secret: Secrets = ()  # of whoever says that the site was deployed
    subscribers_secret: SigningKeys = ()  # that forms and CRMs sign with
    confirmed_elsewhere: bool = False  # they may say that a reader has confirmed there already
    metrics_token: Secrets = ()  # of whoever scrapes /metrics; without it nobody may


class Limits(_Table):
    """How much an account takes: messages, and calls to its API."""

    per_second: int | None = Field(None, gt=0)
    per_minute: int | None = Field(None, gt=0)
    per_hour: int | None = Field(None, gt=0)
    per_day: int | None = Field(None, gt=0)  # in any 24 hours
    calls_per_second: int | None = Field(None, gt=0)  # default: what the vendor publishes
    calls_per_minute: int | None = Field(None, gt=0)


class Dkim(_Table):
    """Signing by ourselves (RFC 6376), where the server does not."""

    selector: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]
    key_file: Path  # private key, PEM; absolute once loaded
    domain: str | None = None  # default: that of the newsletter's from


class WebhookSettings(_Table):
    """How a provider's events are known to come from it; which of these a type knows is in its docs.

    Of each, a second value may stand beside the first while one is exchanged for the other: `["new", "old"]`.
    """

    secret: Secrets = ()  # that signs them
    public_key: Texts = ()  # sendgrid: that their signature is checked with
    username: Texts = ()  # HTTP Basic, where the vendor signs nothing
    password: Secrets = ()
    token: Secrets = ()  # HTTP Bearer, where the vendor signs nothing
    topics: tuple[str, ...] = ()  # ses: the SNS topics that are ours, by ARN


class Provider(_Table):
    """An account that takes mail; which settings a type knows is in `distributor.vendors`."""

    type: Annotated[str, AfterValidator(_known_type)]
    path: Path = Path("var/outbox/mail")  # of an outbox; absolute once loaded
    key: SecretStr = SecretStr("")  # the vendor's API key, or the public half of one
    secret: SecretStr = SecretStr("")  # the other half
    region: str = ""  # ses: us-east-1, …; mailgun, sendgrid: "eu" for their European service
    domain: str = ""  # mailgun: the sending domain
    stream: str = "broadcast"  # postmark: the message stream
    configuration_set: str = ""  # ses
    host: str = ""  # smtp
    port: int | None = Field(None, gt=0, lt=65536)  # smtp; default: 587, with tls 465
    security: Literal["starttls", "tls", "none"] = "starttls"  # smtp
    username: str = ""  # smtp
    password: SecretStr = SecretStr("")  # smtp
    dkim: Dkim | None = None  # smtp
    connections: int = Field(8, ge=1, le=100)  # smtp: at once
    base_url: WebAddress | None = None  # default: the vendor's own
    webhook: WebhookSettings = WebhookSettings()
    limits: Limits = Limits()
    warm_up: Mapping[str, date] = {}  # sending domain -> the day of its first mail


class Newsletter(_Table):
    """Editions of articles by mail, on a schedule."""

    title: HeaderText
    from_: MailAddress = Field(alias="from")  # "The Daily <news@example.org>"
    reply_to: MailAddress | None = None
    description: str = ""
    providers: tuple[str, ...] = Field(min_length=1)
    schedule: Cron
    timezone: ZoneOfReaders | None = None  # default: the site's; "subscriber": each reader's own
    cadences: tuple[Cadence, ...] = ("instant", "daily", "weekly", "monthly")
    topics: Mapping[
        Topic, Annotated[tuple[str, ...], Field(min_length=1)]
    ] = {}  # what readers choose from -> tags, categories, sources
    sections: Literal["topic", "source", "none"] = "none"  # how an edition is divided
    min_articles: int = Field(1, ge=1)  # with fewer, a reader waits for the next edition
    max_articles: int = Field(12, ge=1)  # with more, the rest are headlines
    template: str = "digest"
    pictures: Literal["hosted", "link", "inline"] = "hosted"
    utm: Mapping[str, str] = {}  # campaign parameters for links to the site
    welcome: Literal["none", "edition"] = "none"  # what who is new is sent at once: the newest articles
    catch_up: Literal["send", "merge", "drop"] = "merge"  # what slots missed while we were down become
    on_unclear: Literal["hold", "resend"] = "hold"  # what becomes of mails that nobody can say anything about
    approval: Literal["none", "required"] = "none"
    audience_guard: int = Field(
        20, ge=0, le=1000
    )  # percent: a larger change of the readers' number asks first
    lint: Lint = "warn"

    @property
    def is_by_place(self) -> bool:
        """Whether its editions come at each reader's own hour, in their own zone."""
        return self.timezone == SUBSCRIBER

    @model_validator(mode="before")
    @classmethod
    def _topic_list_is_a_table_too(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("topics"), list):
            return {**value, "topics": {topic: [topic] for topic in value["topics"]}}
        return value

    @property
    def usual_cadence(self) -> Cadence:
        """That of a reader who comes by a form and chooses none."""
        return "daily" if "daily" in self.cadences or not self.cadences else self.cadences[0]


class Channel(_Table):
    """An account on a network, where articles are posted one by one."""

    network: Literal[
        "bluesky",
        "mastodon",
        "x",
        "linkedin",
        "facebook",
        "instagram",
        "threads",
        "telegram",
        "discord",
        "slack",
    ]
    account: HeaderText = OUTBOX  # whose it is there; "outbox": a folder instead of the network
    key: SecretStr = SecretStr("")  # password for apps, access token, bot token
    key_secret: SecretStr = SecretStr("")  # x: the second half of an OAuth 1.0a access token
    client_id: str = ""  # x, linkedin: of the app that the key was made for
    client_secret: SecretStr = SecretStr("")
    refresh_key: SecretStr = SecretStr("")  # x, linkedin: makes new keys
    expires: date | None = None  # the key's last day, where the network does not say it
    webhook: SecretStr = SecretStr("")  # discord: an address that takes posts, instead of a bot
    version: str = ""  # linkedin, facebook, instagram: of the API
    visibility: Literal["public", "unlisted", "private"] = "public"  # mastodon
    base_url: WebAddress | None = None  # default: the network's own, or the account's server
    limits: Limits = Limits()
    path: Path = Path("var/outbox/social")  # of the outbox; absolute once loaded
    template: str = "post"
    media: Literal["banner", "card", "qr", "link", "none"] = "banner"
    link: Literal["url", "qr", "none"] = "url"
    language: Language | None = None  # default: the article's, else the site's
    topics: tuple[str, ...] = ()  # only articles of these; none: all
    hashtags: int = Field(3, ge=0, le=30)  # at most
    utm: Mapping[str, str] = {}  # campaign parameters for the link to the site
    max_per_day: int | None = Field(None, ge=1)
    overflow: Literal["spread", "newest", "featured", "roundup"] = "spread"  # of what a day has no room for
    max_age: timedelta | None = Field(None, gt=timedelta(0))  # of an article, when its post would go out
    monthly_budget: float | None = Field(None, gt=0)  # x: US dollars
    corrections: Literal["edit", "reply", "repost", "none"] = "edit"  # when an article changes
    withdraw: Literal["delete", "keep"] = "delete"  # when an article is taken back
    thread: int = Field(1, ge=1, le=20)  # posts at most, where one is too short for the article's own words
    min_gap: timedelta = Field(timedelta(0), ge=timedelta(0))  # seconds, or ISO 8601: "PT30M"
    quiet_hours: TimeSpan | None = None  # "22:00-07:00": what is due then waits
    timezone: ZoneName | None = None  # default: the site's
    lint: Lint = "warn"


HookEvent = Literal[
    "subscriber.*",
    "subscriber.subscribed",
    "subscriber.confirmed",
    "subscriber.changed",
    "subscriber.unsubscribed",
    "subscriber.silenced",
    "subscriber.erased",
    "campaign.*",
    "campaign.awaiting_approval",
    "campaign.scheduled",
    "campaign.sending",
    "campaign.paused",
    "campaign.done",
    "campaign.cancelled",
    "campaign.skipped",
]


class Hook(_Table):
    """An address that is told what becomes of readers and campaigns."""

    url: HookAddress
    secret: Annotated[SigningKeys, Field(min_length=1)]  # signs what it is told; of two, both do
    events: Annotated[tuple[HookEvent, ...], Field(min_length=1)] = ("subscriber.*", "campaign.*")
    addresses: bool = False  # tell readers' addresses, not only their numbers
    allow_private: bool = False  # it is in a private network

    def wants(self, event: str) -> bool:
        return event in self.events or f"{event.partition('.')[0]}.*" in self.events

    @property
    def is_local(self) -> bool:
        """Whether it is on this very machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")


class Segment(_Table):
    """Readers who have all of this in common; what is left out is not asked for."""

    list: str | None = None  # a newsletter
    state: Literal["unconfirmed", "confirmed", "unsubscribed"] | None = None
    cadence: Cadence | None = None
    topics: tuple[Topic, ...] = ()  # one of them, or everything
    locale: Language | None = None  # "de" means de-AT too
    timezone: ZoneName | None = None
    attributes: Mapping[str, str] = {}
    joined_from: date | None = None  # the first day, in the site's time zone
    joined_before: date | None = None  # the day after the last
    suppressed: bool | None = None  # whether nothing may be sent to them


class Pictures(_Table):
    """Limits for pictures that are fetched."""

    path: Path = Path("var/media")  # absolute once loaded
    max_bytes: int = Field(20_000_000, gt=0)
    max_pixels: int = Field(60_000_000, gt=0)
    timeout_seconds: float = Field(15, gt=0)
    allow_private: bool = False  # fetch from private and loopback addresses: for tests and intranets


class LogSettings(_Table):
    """What the program says while it runs."""

    format: Literal["auto", "json", "plain"] = "auto"  # auto: plain on a terminal, JSON elsewhere
    level: Literal["debug", "info", "warning", "error"] = "info"
    addresses: bool = False  # whether readers' addresses may stand in it


class Daemon(_Table):
    """How `run`, `worker` and `serve` go on."""

    look_seconds: float = Field(10, ge=1, le=3600)  # at most between two looks at the site
    settle_seconds: float = Field(0.2, ge=0, le=600)  # a file written to less long ago is not read yet
    stop_seconds: float = Field(60, ge=0, le=3600)  # that calls under way have to end, when told to stop


class AlertSettings(_Table):
    """Who is told when a person is needed."""

    to: tuple[SecretStr, ...] = ()  # Apprise addresses: https://github.com/caronc/apprise/wiki
    every_minutes: int = Field(10, ge=1)  # at most one message; what comes meanwhile goes together
    silent_days: int | None = Field(14, ge=1)  # without a new article
    disk_percent: float = Field(5.0, ge=0, le=100)  # that are to be free


class Reputation(_Table):
    """How many bounces and complaints are too many, in percent of what was accepted."""

    # Amazon SES reviews an account from 5 and 0.1 on and pauses it at 10 and 0.5; Gmail and Yahoo want less
    # than 0.3 complaints, and Gmail 0.1 (vendors' and Google's guidelines, read 2026-11).
    warn_bounces: float = Field(4.0, gt=0, le=100)
    warn_complaints: float = Field(0.1, gt=0, le=100)
    pause_bounces: float = Field(8.0, gt=0, le=100)
    pause_complaints: float = Field(0.3, gt=0, le=100)
    least: int = Field(500, ge=1)  # mails accepted, below which no share says anything


class Retention(_Table):
    """How long it is kept who got what; 0 is for ever."""

    deliveries_days: Days = 730  # then only an edition's counts are kept
    events_days: Days = 400  # what providers reported


class Config(_Table):
    """All that a publisher set, checked."""

    path: Path  # the file it came from, absolute
    site: Site
    database: Database = Database()
    web: Web = Web()
    pictures: Pictures = Pictures()
    daemon: Daemon = Daemon()
    retention: Retention = Retention()
    providers: Mapping[Name, Provider] = {}
    newsletters: Mapping[Name, Newsletter] = {}
    channels: Mapping[Name, Channel] = {}
    segments: Mapping[Name, Segment] = {}
    hooks: Mapping[Name, Hook] = {}
    log: LogSettings = LogSettings()
    alerts: AlertSettings = AlertSettings()
    reputation: Reputation = Reputation()

    @property
    def home(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent

    @property
    def templates(self) -> Path:
        """The user's own templates, which go before the ones that are shipped."""
        return self.home / "templates"

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.site.timezone or "UTC")


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read and check the file at *path*.

    *environment* is `os.environ` unless a test passes its own; `.env` beside the file fills what it lacks,
    and `DATABASE_URL` goes before `[database] url`.

    Raises:
        ConfigError: with every problem, in the order of the file.
    """
    path = path.absolute()
    source, tables = _read(path)
    known = _dotenv(path.parent / ".env") | dict(os.environ if environment is None else environment)
    problems: list[Problem] = []
    used: dict[str, str] = {}
    tables = _filled(tables, known, problems, used, path, source)
    _set(tables, "database", "url", known.get("DATABASE_URL"))
    _set(tables, "web", "secret", known.get("DISTRIBUTOR_SECRET"), over=False)
    _set(tables, "log", "format", known.get("DISTRIBUTOR_LOG_FORMAT"))
    _set(tables, "log", "level", known.get("DISTRIBUTOR_LOG_LEVEL"))
    config = None
    try:
        config = Config.model_validate({key: tables[key] for key in tables if key != "path"} | {"path": path})
        problems += _contradictions(config, source)
    except ValidationError as error:
        problems += (_problem(path, source, entry) for entry in error.errors())
    if (missing := _no_zones()) and not any(missing in problem.reason for problem in problems):
        problems.append(Problem(path=str(path), reason=missing))
    if "path" in tables:
        problems.append(_problem(path, source, {"loc": ("path",), "type": "extra_forbidden"}))
    if problems or config is None:
        shown = (_without_secrets(problem, used) for problem in problems)
        raise ConfigError(sorted(shown, key=lambda problem: problem.line or 0))
    return _from_home(config)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """The file's text and its tables."""
    try:
        source = path.read_text(encoding="utf-8-sig")
        return source, rtoml.loads(source)
    except FileNotFoundError:
        remedy = "make one with `distributor init`, or name it with --config"
        raise ConfigError([Problem(path=str(path), reason="there is no such file", remedy=remedy)]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([_not_utf8(path, error)]) from None
    except OSError as error:
        raise ConfigError([Problem(path=str(path), reason=f"cannot be read: {error.strerror}")]) from error
    except rtoml.TomlParsingError as error:
        raise ConfigError([_unparsable(path, str(error))]) from None


def _dotenv(path: Path) -> dict[str, str | None]:
    try:
        return dict(dotenv_values(path))
    except UnicodeDecodeError as error:
        raise ConfigError([_not_utf8(path, error)]) from None
    except OSError as error:
        raise ConfigError([Problem(path=str(path), reason=f"cannot be read: {error.strerror}")]) from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> Problem:
    line = error.object[: error.start].count(b"\n") + 1
    return Problem(path=str(path), line=line, reason="is not UTF-8 text", remedy="save it as UTF-8")


def _set(tables: dict[str, Any], table: str, key: str, value: str | None, *, over: bool = True) -> None:
    """Set what the environment says, unless the table is none, which is a problem of its own."""
    found = tables.setdefault(table, {})
    if value and isinstance(found, dict) and (over or not found.get(key)):
        found[key] = value


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _filled(
    tables: dict[str, Any],
    known: Mapping[str, str | None],
    problems: list[Problem],
    used: dict[str, str],
    path: Path,
    source: str,
) -> dict[str, Any]:
    """*tables* with every `${NAME}` replaced; what is not set becomes a problem, never an empty string.

    *used* gets the values that were put in, with their names.
    """

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(member) for key, member in value.items()}
        if isinstance(value, list):
            return [fill(member) for member in value]
        return _REFERENCE.sub(put_in, value) if isinstance(value, str) else value

    def put_in(match: re.Match[str]) -> str:
        name = match[1]
        value = known.get(name)
        if value is None:
            line = source[: source.find(match[0])].count("\n") + 1
            remedy = f"put {name}=… into .env beside {FILE_NAME}"
            problem = Problem(path=str(path), line=line, reason=f"${{{name}}} is not set", remedy=remedy)
            if problem not in problems:
                problems.append(problem)
        used[value or ""] = name
        return value or ""

    filled: dict[str, Any] = fill(tables)
    return filled


def _without_secrets(problem: Problem, used: Mapping[str, str]) -> Problem:
    """The same problem, with the names of values that came from the environment in their place."""
    reason = problem.reason
    for value in sorted(filter(None, used), key=len, reverse=True):
        for form in (value, repr(value)[1:-1]):
            reason = reason.replace(form, f"${{{used[value]}}}")
    return replace(problem, reason=reason)


def _unparsable(path: Path, message: str) -> Problem:
    found = re.fullmatch(r"(?s)(.*?)(?: at line (\d+) column \d+)?", message.strip())
    reason, line = found.groups() if found else (message, None)
    return Problem(path=str(path), line=int(line) if line else None, reason=f"is not TOML: {reason}")


WORDS = {  # pydantic's kind of error -> what a person is told of it
    "dict_type": "is a table, with settings below it",
    "mapping_type": "is a table, with settings below it",
    "model_type": "is a table, with settings below it",
    "model_attributes_type": "is a table, with settings below it",
    "string_type": "is text, written in quotation marks",
    "too_short": "needs at least one",
    "tuple_type": "is a list, written in [ ]",
}


def _problem(path: Path, source: str, entry: Any) -> Problem:
    """A validation error as a person would say it."""
    keys = [str(key) for key in entry["loc"] if key != "[key]"]
    line = _line_of(source, keys)
    name = ".".join(keys)
    if entry["type"] == "extra_forbidden":
        near = get_close_matches(keys[-1], _names_beside(keys), n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "remove it, or see docs/configuration.md"
        return Problem(path=str(path), line=line, reason=f"{name} is not a setting", remedy=remedy)
    if entry["type"] == "missing":
        return Problem(path=str(path), line=line, reason=f"{name} is missing", remedy=f"add {keys[-1]} = …")
    reason = WORDS.get(entry["type"]) or entry["msg"].removeprefix("Value error, ")
    return Problem(path=str(path), line=line, reason=f"{name}: {reason}" if name else reason)


def _names_beside(keys: list[str]) -> list[str]:
    tables: dict[str, type[_Table]] = {
        "site": Site,
        "database": Database,
        "web": Web,
        "pictures": Pictures,
        "log": LogSettings,
        "alerts": AlertSettings,
        "reputation": Reputation,
        "daemon": Daemon,
        "retention": Retention,
        "providers": Provider,
        "newsletters": Newsletter,
        "channels": Channel,
        "hooks": Hook,
        "limits": Limits,
        "dkim": Dkim,
        "webhook": WebhookSettings,
    }
    table: type[_Table] = Config
    if len(keys) > 1:
        table = tables.get(keys[-2]) or tables.get(keys[0], Config)
    return [
        field.alias or name for name, field in table.model_fields.items() if (table, name) != (Config, "path")
    ]


def _line_of(source: str, keys: list[str]) -> int | None:
    """The line where *keys* is set, or else that of its table: TOML parsers keep no positions."""
    place: int | None = None
    table: list[str] = []
    for number, text in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", text):
            table = _parts(header[1])
            if table[: len(keys)] == keys:
                return number
            if keys[: len(table)] == table:
                place = place or number
        elif setting := re.match(r"\s*([^#=]+?)\s*=", text):
            parts = [*table, *_parts(setting[1])]
            if keys[: len(parts)] == parts:
                return number
    return place


def _parts(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]


def _contradictions(config: Config, source: str) -> Iterator[Problem]:
    """What each setting alone cannot show."""
    path = str(config.path)
    for name, provider_settings in config.providers.items():
        yield from _of_another_type(path, source, name, provider_settings)
    for name, channel in config.channels.items():
        yield from _of_another_network(path, source, name, channel)
    for name, newsletter in config.newsletters.items():
        for provider in newsletter.providers:
            if provider not in config.providers:
                yield Problem(
                    path=path,
                    line=_line_of(source, ["newsletters", name, "providers"]),
                    reason=f"newsletters.{name}.providers: there is no [providers.{provider}]",
                    remedy="add that table, or name one of: " + (", ".join(config.providers) or "(none yet)"),
                )
            elif (
                newsletter.pictures == "inline"
                and not VENDORS[config.providers[provider].type].inline_pictures
            ):
                yield Problem(
                    path=path,
                    line=_line_of(source, ["newsletters", name, "pictures"]),
                    reason=f"newsletters.{name}.pictures: {provider} takes no pictures inside its mails",
                    remedy='write pictures = "link"',
                )
        if name in config.channels:
            yield Problem(
                path=path,
                line=_line_of(source, ["channels", name]),
                reason=f"{name!r} is a newsletter and a channel",
                remedy="give one of them another name",
            )
    for name, segment in config.segments.items():
        if segment.list is not None and segment.list not in config.newsletters:
            yield Problem(
                path=path,
                line=_line_of(source, ["segments", name, "list"]),
                reason=f"segments.{name}.list: there is no newsletter {segment.list!r}",
                remedy="name one of: " + (", ".join(config.newsletters) or "(none yet)"),
            )


def secrets_of(config: Config) -> list[str]:
    """Every secret that was set, so that it can be kept out of what is said."""
    found = [*_secrets_in(config), unquote(urlsplit(config.database.url).password or "")]
    # Of an address that is a secret as a whole, what opens something may be told by itself.
    parts = (part for secret in found if "://" in secret for part in re.split(r"[/:@?&=]+", secret))
    return [*found, *(part for part in parts if len(part) >= TELLING)]


TELLING = 12  # characters: what is shorter in an address is a host or a word


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from (secret for one in value.values() for secret in _secrets_in(one))
    elif isinstance(value, tuple):
        yield from (secret for one in value for secret in _secrets_in(one))


def own_addresses(config: Config) -> frozenset[str]:
    """The publisher's own: senders of newsletters, and accounts that look like addresses."""
    senders = [text for n in config.newsletters.values() for text in (n.from_, n.reply_to) if text]
    accounts = [channel.account.removeprefix("@") for channel in config.channels.values()]
    return frozenset(text.lower() for text in (*(mailbox(sender)[1] for sender in senders), *accounts))


def notes(config: Config) -> list[str]:
    """What a publisher should know of a configuration in which nothing is wrong."""
    return _notes_on_mail(config) + _notes_on_channels(config)


def _notes_on_channels(config: Config) -> list[str]:
    found = []
    for name, channel in config.channels.items():
        network = NETWORKS[channel.network]
        if channel.account == OUTBOX:
            continue
        if channel.corrections == "edit" and not network.edits:
            found.append(
                f"channels.{name}: {channel.network} has no edits, so corrections of articles are only "
                'reported; corrections = "reply" or "repost" says them there'
            )
        if network.fetches and channel.media not in ("none", "link"):
            found.append(
                f"channels.{name}: {channel.network} fetches pictures itself: what is in "
                f"{config.pictures.path} has to answer at {config.web.public_url}/media/"
            )
    return found


def _notes_on_mail(config: Config) -> list[str]:
    return [
        f"newsletters.{name}: {provider} ({config.providers[provider].type}) carries no List-Unsubscribe of "
        "ours, so mail programs offer the vendor's own, if any; the link in the mail is each reader's"
        for name, newsletter in config.newsletters.items()
        for provider in newsletter.providers
        if not VENDORS[config.providers[provider].type].one_click
    ]


def _of_another_type(path: str, source: str, name: str, settings: Provider) -> Iterator[Problem]:
    """Settings that this type of provider lacks, or does not know."""
    vendor = VENDORS[settings.type]
    for missing in (setting for setting in vendor.needs if not _is_set(settings, setting)):
        yield Problem(
            path=path,
            line=_line_of(source, ["providers", name]),
            reason=f"providers.{name}: {settings.type} needs {missing}",
            remedy=_how_to_set(settings, name, missing),
        )
    if vendor.regions and settings.region not in ("", *vendor.regions):
        known = ", ".join(f'"{region}"' for region in vendor.regions)
        yield Problem(
            path=path,
            line=_line_of(source, ["providers", name, "region"]),
            reason=f"providers.{name}.region: {settings.type} has no region {settings.region!r}",
            remedy=f"write {known}, or leave it out",
        )
    for foreign in sorted(settings.model_fields_set - COMMON - {*vendor.needs, *vendor.takes}):
        yield Problem(
            path=path,
            line=_line_of(source, ["providers", name, foreign]),
            reason=f"providers.{name}.{foreign}: {settings.type} has no such setting",
            remedy="remove it, or see docs/configuration.md",
        )


def _of_another_network(path: str, source: str, name: str, channel: Channel) -> Iterator[Problem]:
    """Settings that an account on this network lacks, or does not know."""
    if channel.account == OUTBOX:
        return
    network = NETWORKS[channel.network]
    needed = [setting for setting in network.needs if not _is_set(channel, setting)]
    if channel.network == "discord" and not (_is_set(channel, "key") or _is_set(channel, "webhook")):
        needed.append("webhook")
    for missing in needed:
        yield Problem(
            path=path,
            line=_line_of(source, ["channels", name]),
            reason=f"channels.{name}: an account on {channel.network} needs {missing}",
            remedy=_how_to_set(channel, name, missing),
        )
    for half, other in HALVES:
        if _is_set(channel, half) and not _is_set(channel, other) and other in network.takes:
            yield Problem(
                path=path,
                line=_line_of(source, ["channels", name, half]),
                reason=f"channels.{name}.{half}: is of no use without {other}",
                remedy=_how_to_set(channel, name, other),
            )
    for foreign in sorted(channel.model_fields_set & ACCOUNT_SETTINGS - {*network.needs, *network.takes}):
        yield Problem(
            path=path,
            line=_line_of(source, ["channels", name, foreign]),
            reason=f"channels.{name}.{foreign}: an account on {channel.network} has no such setting",
            remedy="remove it, or see docs/configuration.md",
        )


HALVES = (("refresh_key", "client_id"), ("key_secret", "client_id"), ("key_secret", "client_secret"))


def _how_to_set(settings: _Table, name: str, setting: str) -> str:
    variable = re.sub(r"\W", "_", f"{name}_{setting}").upper()
    if isinstance(getattr(settings, setting), SecretStr):
        return f'write {setting} = "${{{variable}}}", and {variable}=… into .env'
    return f'add {setting} = "…"; see docs/configuration.md'


def _is_set(settings: _Table, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _at(home: Path, dkim: Dkim | None) -> Dkim | None:
    return dkim and dkim.model_copy(update={"key_file": home / dkim.key_file})


def _from_home(config: Config) -> Config:
    """*config* with every path absolute, seen from the folder of its file."""
    home = config.home

    def absolute(path: Path | None) -> Path | None:
        return home / path if path else None

    site = config.site.model_copy(
        update={"content": absolute(config.site.content), "font": absolute(config.site.font)}
    )
    url = config.database.url
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{home / url.removeprefix('sqlite:///')}"
    return config.model_copy(
        update={
            "site": site,
            "database": Database(url=url),
            "pictures": config.pictures.model_copy(update={"path": home / config.pictures.path}),
            "providers": {
                name: provider.model_copy(
                    update={"path": home / provider.path, "dkim": _at(home, provider.dkim)}
                )
                for name, provider in config.providers.items()
            },
            "channels": {
                name: channel.model_copy(update={"path": home / channel.path})
                for name, channel in config.channels.items()
            },
        }
    )
