"""`distributor.toml` and the environment, as one frozen `Config`.

Every problem is reported at once, with its line and remedy. Secrets come from the environment (or `.env`
beside the file) through `${NAME}` anywhere in a value, and are never printed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import rtoml
from cronsim import CronSim, CronSimError
from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from distributor.errors import ConfigError, Problem

FILE_NAME = "distributor.toml"

Cadence = Literal["instant", "daily", "weekly", "monthly"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin or UTC") from error
    return name


def _readable_cron(expression: str) -> str:
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{expression!r} is no cron schedule; every day at seven is '0 7 * * *'") from error
    return expression


def _no_header_injection(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise ValueError("line breaks and control characters cannot stand in a mail header")
    return value


def _web_address(value: str) -> str:
    if not re.match(r"https?://[^/\s]+", value):
        raise ValueError(f"{value!r} is no web address; it starts with https://")
    return value.rstrip("/")


ZoneName = Annotated[str, AfterValidator(_known_zone)]
Cron = Annotated[str, AfterValidator(_readable_cron)]
HeaderText = Annotated[str, AfterValidator(_no_header_injection)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
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
    language: str | None = None  # BCP 47; default: languageCode of the site's own configuration
    logo: str | None = None  # address of a picture, or a file
    color: Color = "#1a4f8b"  # of headings, buttons and cards
    font: Path | None = None  # TrueType file for cards, where the one that is shipped lacks your script

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
    listen: str = "127.0.0.1:8080"
    secret: SecretStr = SecretStr("")  # signs readers' links


class Limits(_Table):
    per_second: int | None = Field(None, gt=0)
    per_minute: int | None = Field(None, gt=0)
    per_hour: int | None = Field(None, gt=0)
    per_day: int | None = Field(None, gt=0)


class Provider(_Table):
    """An account that takes mail."""

    type: Literal["outbox"]
    path: Path = Path("var/outbox/mail")  # of an outbox; absolute once loaded
    limits: Limits = Limits()


class Newsletter(_Table):
    """Editions of articles by mail, on a schedule."""

    title: HeaderText
    from_: HeaderText = Field(alias="from")  # "The Daily <news@example.org>"
    reply_to: HeaderText | None = None
    description: str = ""
    providers: tuple[str, ...] = Field(min_length=1)
    schedule: Cron
    timezone: ZoneName | None = None  # default: the site's
    cadences: tuple[Cadence, ...] = ("instant", "daily", "weekly", "monthly")
    topics: Mapping[str, tuple[str, ...]] = {}  # what readers choose from -> tags, categories, sources
    sections: Literal["topic", "source", "none"] = "none"  # how an edition is divided
    min_articles: int = Field(1, ge=1)  # with fewer, a reader waits for the next edition
    max_articles: int = Field(12, ge=1)  # with more, the rest are headlines
    template: str = "digest"
    pictures: Literal["hosted", "link", "inline"] = "hosted"
    utm: Mapping[str, str] = {}  # campaign parameters for links to the site
    catch_up: Literal["send", "merge", "drop"] = "merge"  # what slots missed while we were down become
    approval: Literal["none", "required"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _topic_list_is_a_table_too(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("topics"), list):
            return {**value, "topics": {topic: [topic] for topic in value["topics"]}}
        return value


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
    account: Literal["outbox"] = "outbox"  # a folder instead of the network
    path: Path = Path("var/outbox/social")  # of the outbox; absolute once loaded
    template: str = "post"
    media: Literal["banner", "card", "qr", "none"] = "banner"
    link: Literal["url", "qr", "none"] = "url"
    language: str | None = None  # BCP 47; default: the article's, else the site's
    topics: tuple[str, ...] = ()  # only articles of these; none: all
    hashtags: int = Field(3, ge=0, le=30)  # at most
    utm: Mapping[str, str] = {}  # campaign parameters for the link to the site
    max_per_day: int | None = Field(None, ge=1)
    min_gap: timedelta = timedelta(0)
    quiet_hours: Annotated[str, StringConstraints(pattern=r"^\d\d:\d\d-\d\d:\d\d$")] | None = None
    timezone: ZoneName | None = None  # default: the site's


class Pictures(_Table):
    """Limits for pictures that are fetched."""

    path: Path = Path("var/media")  # absolute once loaded
    max_bytes: int = Field(20_000_000, gt=0)
    max_pixels: int = Field(60_000_000, gt=0)
    timeout_seconds: float = Field(15, gt=0)
    allow_private: bool = False  # fetch from private and loopback addresses: for tests and intranets


class Config(_Table):
    """All that a publisher set, checked."""

    path: Path  # the file it came from, absolute
    site: Site
    database: Database = Database()
    web: Web = Web()
    pictures: Pictures = Pictures()
    providers: Mapping[str, Provider] = {}
    newsletters: Mapping[str, Newsletter] = {}
    channels: Mapping[str, Channel] = {}

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
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "make one with `distributor init`, or name it with --config"
        raise ConfigError([Problem(path=str(path), reason="there is no such file", remedy=remedy)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(path=str(path), reason=f"cannot be read: {error}")]) from error
    try:
        tables = rtoml.loads(source)
    except rtoml.TomlParsingError as error:
        raise ConfigError([_unparsable(path, str(error))]) from error

    known = dotenv_values(path.parent / ".env") | dict(os.environ if environment is None else environment)
    problems: list[Problem] = []
    tables = _filled(tables, known, problems, path, source)
    if known.get("DATABASE_URL"):
        tables.setdefault("database", {})["url"] = known["DATABASE_URL"]
    if known.get("DISTRIBUTOR_SECRET"):
        tables.setdefault("web", {}).setdefault("secret", known["DISTRIBUTOR_SECRET"])
    try:
        config = Config.model_validate(tables | {"path": path})
    except ValidationError as error:
        problems += (_problem(path, source, entry) for entry in error.errors())
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0)) from None
    problems += _contradictions(config, source)
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return _from_home(config)


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _filled(
    tables: dict[str, Any],
    known: Mapping[str, str | None],
    problems: list[Problem],
    path: Path,
    source: str,
) -> dict[str, Any]:
    """*tables* with every `${NAME}` replaced; what is not set becomes a problem, never an empty string."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(member) for key, member in value.items()}
        if isinstance(value, list):
            return [fill(member) for member in value]
        return _REFERENCE.sub(replace, value) if isinstance(value, str) else value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        value = known.get(name)
        if value is None:
            line = source[: source.find(match[0])].count("\n") + 1
            remedy = f"put {name}=… into .env beside {FILE_NAME}"
            problem = Problem(path=str(path), line=line, reason=f"${{{name}}} is not set", remedy=remedy)
            if problem not in problems:
                problems.append(problem)
        return value or ""

    filled: dict[str, Any] = fill(tables)
    return filled


def _unparsable(path: Path, message: str) -> Problem:
    line = re.search(r"line (\d+)", message)
    reason = message.strip().splitlines()[-1] if "\n" in message else message
    return Problem(path=str(path), line=int(line[1]) if line else None, reason=f"is not TOML: {reason}")


def _problem(path: Path, source: str, entry: Any) -> Problem:
    """A validation error as a person would say it."""
    keys = [str(key) for key in entry["loc"]]
    line = _line_of(source, keys)
    name = ".".join(keys)
    if entry["type"] == "extra_forbidden":
        near = get_close_matches(keys[-1], _names_beside(keys), n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "remove it, or see docs/configuration.md"
        return Problem(path=str(path), line=line, reason=f"{name} is not a setting", remedy=remedy)
    if entry["type"] == "missing":
        return Problem(path=str(path), line=line, reason=f"{name} is missing", remedy=f"add {keys[-1]} = …")
    reason = entry["msg"].removeprefix("Value error, ")
    return Problem(path=str(path), line=line, reason=f"{name}: {reason}" if name else reason)


def _names_beside(keys: list[str]) -> list[str]:
    tables: dict[str, type[_Table]] = {
        "site": Site,
        "database": Database,
        "web": Web,
        "pictures": Pictures,
        "providers": Provider,
        "newsletters": Newsletter,
        "channels": Channel,
    }
    table = tables.get(keys[0], Config) if len(keys) > 1 else Config
    return [field.alias or name for name, field in table.model_fields.items()]


def _line_of(source: str, keys: list[str]) -> int | None:
    """The line where *keys* is set, or else that of its table: TOML parsers keep no positions."""
    place: int | None = None
    table: list[str] = []
    for number, text in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", text):
            table = [part.strip().strip("\"'") for part in header[1].split(".")]
            if table == keys[: len(table)]:
                place = place or number
                if len(table) == len(keys):
                    return number
        elif (
            (setting := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", text))
            and table == keys[: len(table)]
            and len(keys) > len(table)
            and setting[1] == keys[len(table)]
        ):
            return number
    return place


def _contradictions(config: Config, source: str) -> Iterator[Problem]:
    """What each setting alone cannot show."""
    path = str(config.path)
    for name, newsletter in config.newsletters.items():
        for provider in newsletter.providers:
            if provider not in config.providers:
                yield Problem(
                    path=path,
                    line=_line_of(source, ["newsletters", name, "providers"]),
                    reason=f"newsletters.{name}.providers: there is no [providers.{provider}]",
                    remedy="add that table, or name one of: " + (", ".join(config.providers) or "(none yet)"),
                )
        if name in config.channels:
            yield Problem(
                path=path,
                line=_line_of(source, ["channels", name]),
                reason=f"{name!r} is a newsletter and a channel",
                remedy="give one of them another name",
            )


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
                name: provider.model_copy(update={"path": home / provider.path})
                for name, provider in config.providers.items()
            },
            "channels": {
                name: channel.model_copy(update={"path": home / channel.path})
                for name, channel in config.channels.items()
            },
        }
    )
