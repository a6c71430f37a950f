"""The Hugo site around the content: its configuration, and what its sections hand down to their pages."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson
import rtoml
import yaml

from distributor.articles import text, tree
from distributor.articles.frontmatter import FrontMatterError, read_document, read_yaml
from distributor.articles.globs import Target, target_of
from distributor.articles.permalinks import Place, unknown_tokens
from distributor.errors import ConfigError, Problem

READER_VERSION = 1  # raise it when pages read differently: indexes made before are then read anew

ENDINGS = ("toml", "yaml", "yml", "json")
_DATE_ALIASES = {
    "lastmod": ("modified",),
    "publishdate": ("pubdate", "published"),
    "expirydate": ("unpublishdate",),
}
_DATE_CHAINS = {
    "date": ("date", "publishdate", "lastmod"),
    "publishdate": ("publishdate", "date"),
    "expirydate": ("expirydate",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language of the site."""

    code: str  # as in file names and addresses: page.fr.md
    tag: str  # BCP 47
    prefix: str = ""  # of its addresses; empty for the one at the root
    base_url: str  # without a slash at the end
    folder: str | None = None  # of its pages, relative to the content folder, where it has one of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Front matter that a section hands down to the pages below it."""

    folder: str
    language: str | None  # code; None: of every language
    target: Target
    values: Mapping[str, Any]
    is_broken: bool = False  # the section's file cannot be read, so nobody knows what it hands down


@dataclass(frozen=True, slots=True, kw_only=True)
class HugoSite:
    """All that decides how a page reads, other than the page's own file."""

    content: Path  # absolute
    root: Path  # the site's folder, absolute
    static: tuple[Path, ...]  # folders whose files are served as they are
    base_url: str  # absolute, without a slash at the end
    title: str
    language: str  # BCP 47
    timezone: str  # IANA name
    languages: tuple[Language, ...]  # the first is the default
    permalinks: tuple[tuple[Target, str], ...]  # the first that matches wins
    ugly_sections: tuple[str, ...]  # "*": all
    lower_paths: bool
    remove_accents: bool
    canonify: bool  # links that start with / lead below the base address
    dates: Mapping[str, tuple[str, ...]]  # date, publishdate, expirydate -> front matter names, in order
    ignored: tuple[re.Pattern[str], ...]  # files Hugo is told to leave out
    sections: frozenset[str]  # folders with an _index file
    cascades: tuple[Cascade, ...]  # the nearest section's first
    problems: tuple[Problem, ...] = ()
    fingerprint: str = field(default="")  # an index made under another one must be read anew

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def dates_by_file_time(self) -> bool:
        """Whether a file's time of change may date its page."""
        return any(":filemodtime" in names for names in self.dates.values())

    def place_of(self, path: str) -> Place:
        """Where the content file at *path* lies, as Hugo sees it."""
        language, inner = self._language_of(path)
        folder, _, file = inner.rpartition("/")
        name = file.rpartition(".")[0]
        stem, _, code = name.rpartition(".")
        if stem and (named := next((one for one in self.languages if one.code == code.lower()), None)):
            language, name = named, stem
        if name == "index" and folder and folder not in self.sections:
            outer, _, bundle = folder.rpartition("/")
            return Place(
                path=path, folder=outer, name=bundle, bundle=path.rpartition("/")[0], language=language
            )
        return Place(path=path, folder=folder, name=name, bundle=None, language=language)

    def _language_of(self, path: str) -> tuple[Language, str]:
        for language in self.languages:
            if language.folder and path.startswith(language.folder + "/"):
                return language, path[len(language.folder) + 1 :]
        return self.languages[0], path

    def permalink_pattern(self, place: Place) -> str:
        """The pattern for the address of the page at *place*; empty where it follows its folder."""
        return next((pattern for target, pattern in self.permalinks if target.names(place)), "")

    def is_ugly(self, place: Place) -> bool:
        """Whether its address is a file, `news/page.html`."""
        return "*" in self.ugly_sections or place.section in self.ugly_sections

    def sections_of(self, place: Place) -> list[str]:
        """The names of the sections it is in; a folder below the first level is one by its _index file."""
        parts = place.folder.split("/") if place.folder else []
        for depth in range(len(parts), 1, -1):
            if "/".join(parts[:depth]) in self.sections:
                return parts[:depth]
        return parts[:1]

    def cascades_for(self, place: Place) -> list[Cascade]:
        """What its sections hand down to it, the nearest first."""
        return [
            cascade
            for cascade in self.cascades
            if (not cascade.folder or f"{place.folder}/".startswith(cascade.folder + "/"))
            and cascade.language in (None, place.language.code)
            and cascade.target.names(place)
        ]


def read_site(content: Path, *, base_url: str | None = None, timezone: str | None = None) -> HugoSite:
    """The site whose pages are in *content*; *base_url* and *timezone* go before its own settings.

    Its configuration is looked for beside the folder, as Hugo names it: `hugo.*`, else `config.*`, with
    `config/_default` and `config/production` above it.

    Raises:
        ConfigError: the configuration does not parse, or does not say where the site is.
        ContentError: the content folder is missing or cannot be listed.
    """
    content = content.absolute()
    if not content.is_dir():
        next(tree.walk(content))  # says what is wrong with it
    root, settings = _settings(content)
    problems: list[Problem] = []
    languages = _languages(content, root, settings, _base_url(root, settings, base_url))
    site = HugoSite(
        content=content,
        root=root,
        static=_static(root, settings),
        base_url=languages[0].base_url,
        title=text.plain_line(_of_language(settings, languages[0], "title"), text.TITLE_LIMIT),
        language=languages[0].tag,
        timezone=_timezone(root, settings, timezone, languages[0]),
        languages=languages,
        permalinks=_permalinks(root, settings, problems),
        ugly_sections=_ugly_sections(settings.get("uglyurls")),
        lower_paths=not _is_true(settings.get("disablepathtolower")),
        remove_accents=_is_true(settings.get("removepathaccents")),
        canonify=_is_true(settings.get("canonifyurls")),
        dates=_dates(settings.get("frontmatter")),
        ignored=_ignored(root, settings, problems),
        sections=frozenset(),
        cascades=(),
    )
    return _fingerprinted(_with_sections(site, settings, problems))


def _settings(content: Path) -> tuple[Path, dict[str, Any]]:
    """The site's folder and its configuration; that of a folder above counts if it names this content."""
    near = _read_settings(content.parent)
    if near is not None:
        return content.parent, near
    far = _read_settings(content.parent.parent)
    if far is not None and content in _content_folders(content.parent.parent, far):
        return content.parent.parent, far
    return content.parent, {}


def _content_folders(root: Path, settings: Mapping[str, Any]) -> set[Path]:
    named = [settings.get("contentdir")]
    named += [table.get("contentdir") for _, table in _language_tables(settings)]
    return {Path(os.path.normpath(root / name)) for name in named if isinstance(name, str)}


def _read_settings(root: Path) -> dict[str, Any] | None:
    """Everything Hugo would read in *root*, names in lower case; None where there is no configuration."""
    found: dict[str, Any] | None = None
    for stem in ("hugo", "config"):
        for file in (root / f"{stem}.{ending}" for ending in ENDINGS):
            if file.is_file() and found is None:
                found = _read_table(file)
    for environment in ("_default", "production"):
        for file in sorted((root / "config" / environment).glob("*.*")):
            if file.suffix[1:] in ENDINGS:
                found = _merged(found or {}, _named_table(file))
    return found


def _named_table(file: Path) -> dict[str, Any]:
    """A file of a configuration folder: its name is the table it holds."""
    table = _read_table(file)
    name = file.stem.lower()
    if name in ("hugo", "config"):
        return table
    inner = table.get(name)
    return {name: inner if len(table) == 1 and isinstance(inner, dict) else table}


def _read_table(file: Path) -> dict[str, Any]:
    try:
        source = file.read_text(encoding="utf-8-sig")
        table = _parse(source, file.suffix)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        place = re.search(r"line (\d+)", str(error))
        reason = f"the site's configuration cannot be read: {' '.join(str(error).split())}"
        raise ConfigError(
            [Problem(path=str(file), line=int(place[1]) if place else None, reason=reason)]
        ) from error
    if not isinstance(table, dict):
        reason = "the site's configuration is not a table of names and values"
        raise ConfigError([Problem(path=str(file), reason=reason)])
    lowered: dict[str, Any] = _lowered(table)
    return lowered


def _parse(source: str, suffix: str) -> Any:
    if suffix == ".toml":
        return rtoml.loads(source)
    return orjson.loads(source) if suffix == ".json" else (read_yaml(source) or {})


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name).lower(): _lowered(member) for name, member in value.items()}
    return [_lowered(member) for member in value] if isinstance(value, list) else value


def _merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in above.items():
        own = merged.get(name)
        merged[name] = _merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return merged


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1"))


def _base_url(root: Path, settings: Mapping[str, Any], given: str | None) -> str | None:
    """The address of the site; None where each of its languages has its own."""
    url = given or text.one_line(settings.get("baseurl"))
    if url and _is_web_address(url):
        return url.rstrip("/")
    own = [table.get("baseurl") for _, table in _language_tables(settings)]
    if not given and own and all(map(_is_web_address, own)):
        return None
    reason = f"baseURL {url!r} is not a web address" if url else "the site's base address is not known"
    remedy = 'set base_url = "https://…" in [site] of distributor.toml, or baseURL in the site\'s hugo.toml'
    raise ConfigError([Problem(path=str(root), reason=reason, remedy=remedy)])


def _is_web_address(url: Any) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return bool(parts and parts.scheme in ("http", "https") and parts.hostname)
    except ValueError:
        return False


def _language_tables(settings: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The languages in the order of their weight, without those that are switched off."""
    off = settings.get("disablelanguages")
    disabled = off.split() if isinstance(off, str) else off if isinstance(off, list) else []
    tables = [
        (code, table)
        for code, table in _table(settings.get("languages")).items()
        if isinstance(table, dict) and code not in disabled and not _is_true(table.get("disabled"))
    ]
    return sorted(tables, key=lambda item: _weight(item[1]))


def _weight(table: Mapping[str, Any]) -> int:
    weight = table.get("weight")
    return weight if isinstance(weight, int) else 0


def _languages(
    content: Path, root: Path, settings: Mapping[str, Any], base_url: str | None
) -> tuple[Language, ...]:
    default = text.one_line(settings.get("defaultcontentlanguage")).lower() or "en"
    tables = _language_tables(settings) or [(default, {})]
    codes = [code for code, _ in tables]
    default = default if default in codes else codes[0]
    in_folder = _is_true(settings.get("defaultcontentlanguageinsubdir"))
    own_hosts = sum("baseurl" in table for _, table in tables) > 1
    made = []
    for code, table in tables:
        own = table.get("baseurl") if own_hosts or base_url is None else None
        made.append(
            Language(
                code=code,
                tag=_tag(table, settings, code, is_default=code == default),
                prefix="" if own_hosts or (code == default and not in_folder) else code,
                base_url=own.rstrip("/") if isinstance(own, str) and _is_web_address(own) else base_url or "",
                folder=_language_folder(content, root, table),
            )
        )
    # A folder that is one language's own is that language's, whatever the site's default is.
    return tuple(sorted(made, key=lambda one: (one.folder != "", one.code != default)))


def _tag(table: Mapping[str, Any], settings: Mapping[str, Any], code: str, *, is_default: bool) -> str:
    own = table.get("locale") or table.get("languagecode")
    general = settings.get("locale") or settings.get("languagecode") if is_default else None
    return text.one_line(own or general).replace("_", "-") or code


def _language_folder(content: Path, root: Path, table: Mapping[str, Any]) -> str | None:
    """Where the language's pages are: a folder below *content*, "" for *content* itself."""
    named = table.get("contentdir")
    if not isinstance(named, str):
        return None
    folder = Path(os.path.normpath(root / named))
    if folder == content:
        return ""
    return folder.relative_to(content).as_posix() if folder.is_relative_to(content) else None


def _of_language(settings: Mapping[str, Any], language: Language, name: str) -> Any:
    own = dict(_language_tables(settings)).get(language.code, {})
    return own.get(name) or settings.get(name)


def _timezone(root: Path, settings: Mapping[str, Any], given: str | None, language: Language) -> str:
    name = given or text.one_line(_of_language(settings, language, "timezone")) or "UTC"
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError, ValueError) as error:
        problem = Problem(
            path=str(root),
            reason=f"timeZone {name!r} is no time zone",
            remedy="write one like Europe/Berlin or UTC",
        )
        raise ConfigError([problem]) from error


def _static(root: Path, settings: Mapping[str, Any]) -> tuple[Path, ...]:
    named = settings.get("staticdir", "static")
    names = [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]
    themes = settings.get("theme")
    for theme in themes if isinstance(themes, list) else [themes]:
        if isinstance(theme, str) and theme:
            names.append(f"themes/{theme}/static")
    return tuple(Path(os.path.normpath(root / name)) for name in names)


def _permalinks(
    root: Path, settings: Mapping[str, Any], problems: list[Problem]
) -> tuple[tuple[Target, str], ...]:
    found = list(_permalink_rules(settings.get("permalinks")))
    for _, pattern in found:
        if unknown := unknown_tokens(pattern):
            reason = f"the permalink pattern {pattern!r} has {', '.join(unknown)}, which Hugo does not know"
            problems.append(Problem(path=str(root), reason=reason, remedy="see Hugo's list of tokens"))
    return tuple(found)


def _permalink_rules(table: Any) -> Iterator[tuple[Target, str]]:
    """Patterns by section, by section in a `page` table, or in a list with targets."""
    if isinstance(table, list):
        for rule in table:
            if isinstance(rule, dict) and isinstance(rule.get("pattern"), str):
                yield target_of(rule.get("target")), rule["pattern"]
        return
    by_section = {**_table(table), **_table(_table(table).get("page"))}
    for section, pattern in sorted(by_section.items(), key=lambda item: -len(item[0])):
        if isinstance(pattern, str):
            name = section.strip(" /").lower()
            yield Target(path=f"/{name}/**" if name else "/*"), pattern


def _ugly_sections(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        return tuple(sorted(section for section, is_ugly in value.items() if _is_true(is_ugly)))
    return ("*",) if _is_true(value) else ()


def _dates(value: Any) -> Mapping[str, tuple[str, ...]]:
    """Which front matter names each date is taken from: https://gohugo.io/configuration/front-matter/"""
    table = _table(value)
    return {date: tuple(_chain(table.get(date), default)) for date, default in _DATE_CHAINS.items()}


def _chain(given: Any, default: Sequence[str]) -> Iterator[str]:
    names = given if isinstance(given, list) and given else default
    for name in (str(name).lower() for name in names):
        if name == ":default":
            yield from _chain(None, default)
        else:
            yield name
            yield from _DATE_ALIASES.get(name, ())


def _ignored(root: Path, settings: Mapping[str, Any], problems: list[Problem]) -> tuple[re.Pattern[str], ...]:
    named = settings.get("ignorefiles")
    made = []
    for pattern in named if isinstance(named, list) else [named] if named else []:
        try:
            made.append(re.compile(str(pattern)))
        except re.error as error:
            reason = f"the ignoreFiles pattern {pattern!r} cannot be read: {error}"
            problems.append(Problem(path=str(root), reason=reason))
    return tuple(made)


def _with_sections(site: HugoSite, settings: Mapping[str, Any], problems: list[Problem]) -> HugoSite:
    """*site* with what its _index files say, which changes how the pages below them read."""
    sections: set[str] = set()
    cascades: list[Cascade] = []
    for folder in tree.walk(site.content, site.ignored):
        for entry in folder.indexes:
            place = site.place_of(folder.path_of(entry.name))
            sections.add(place.folder)
            cascades += _read_cascades(place, entry, problems)
    cascades.sort(key=lambda cascade: -len(cascade.folder))
    cascades += _cascades(settings.get("cascade"), folder="", language=None)
    return replace(site, sections=frozenset(sections), cascades=tuple(cascades), problems=tuple(problems))


def _read_cascades(place: Place, entry: os.DirEntry[str], problems: list[Problem]) -> list[Cascade]:
    try:
        document = read_document(Path(entry.path).read_bytes())
    except (OSError, FrontMatterError) as error:
        line = error.line if isinstance(error, FrontMatterError) else None
        reason = str(error) if isinstance(error, FrontMatterError) else f"cannot be read: {error.strerror}"
        remedy = "mend it: until then the pages below are held, because it may make them drafts"
        problems.append(Problem(path=place.path, line=line, reason=reason, remedy=remedy))
        return [
            Cascade(
                folder=place.folder,
                language=place.language.code,
                target=Target(),
                values={},
                is_broken=True,
            )
        ]
    return _cascades(document.values.get("cascade"), folder=place.folder, language=place.language.code)


def _cascades(value: Any, *, folder: str, language: str | None) -> list[Cascade]:
    made = []
    for table in value if isinstance(value, list) else [value]:
        if isinstance(table, dict):
            values = {str(name).lower(): member for name, member in table.items()}
            target = target_of(values.pop("_target", None) or values.pop("target", None))
            made.append(Cascade(folder=folder, language=language, target=target, values=values))
    return made


def _fingerprinted(site: HugoSite) -> HugoSite:
    def stable(value: Any) -> Any:
        return sorted(value) if isinstance(value, frozenset) else value

    names = [one.name for one in fields(site) if one.name not in ("problems", "fingerprint")]
    said = repr((READER_VERSION, [stable(getattr(site, name)) for name in names]))
    return replace(
        site, fingerprint=hashlib.blake2b(said.encode(errors="replace"), digest_size=16).hexdigest()
    )
