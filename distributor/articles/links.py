"""Addresses in front matter and bodies, made absolute as Hugo would serve them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from distributor.articles.hugo import HugoSite
from distributor.articles.permalinks import Place, cleaned

MAX_LENGTH = 2000  # characters; longer addresses are refused by browsers and networks

_CLEAR = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]*)?")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def web_address(value: str, base: str) -> str:
    """*value* as an absolute http(s) address, seen from the address *base*.

    Raises:
        ValueError: it has another scheme, no host, or cannot be an address.
    """
    if _CLEAR.fullmatch(value) and len(value) <= MAX_LENGTH:
        return value
    if len(value) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if (scheme := _SCHEME.match(value)) and scheme[1].lower() not in ("http", "https"):
        raise ValueError(f"has the scheme {scheme[1].lower()}:, not https:")
    if scheme and not urlsplit(value).hostname:
        raise ValueError("has no host")
    return _normal(urljoin(base, value.replace("\\", "/")))


def _normal(url: str) -> str:
    """*url* with everything escaped that mail and networks would trip over."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not a web address")
    host = parts.netloc
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError("has a host name that cannot be one") from error
    if re.search(r"[\s<>\"'`{}|\\^]", host):
        raise ValueError("has a host name that cannot be one")
    path, query, fragment = (
        quote(part, safe="%/?:@!$&'()*+,;=~-._[]") for part in (parts.path, parts.query, parts.fragment)
    )
    return urlunsplit((parts.scheme, host, path, query, fragment))


def picture_address(
    site: HugoSite, place: Place, link: str, folder: str, value: str
) -> tuple[str, str | None]:
    """The address of the picture *value* names, and its file where the site's own folder has it.

    *link* and *folder* are the page's address and its bundle's. A relative name is first looked for in the
    bundle, then among the static files; found nowhere, it is taken from the base address.

    Raises:
        ValueError: see `web_address`.
    """
    if value.startswith("//") or _SCHEME.match(value):
        return web_address(value, link), _own_file(site, place, value)
    for base, file in _candidates(site, place, folder, unquote(value.partition("?")[0].partition("#")[0])):
        if Path(file).is_file():
            return web_address(base, link), file
    return web_address(from_root(place.language.base_url, value), link), None


def _own_file(site: HugoSite, place: Place, url: str) -> str | None:
    """The static file that a full address on the site itself leads to."""
    base_url = f"{place.language.base_url}/"
    if not url.startswith(base_url):
        return None
    name = unquote(url.removeprefix(base_url).partition("?")[0].partition("#")[0])
    files = (file for _, file in _candidates(site, place, "", f"/{name}"))
    return next((file for file in files if Path(file).is_file()), None)


def from_root(base_url: str, value: str) -> str:
    """*value*, a path from the site's root, below its base address unless it says that path itself."""
    path = urlsplit(base_url).path.rstrip("/")
    named, *rest = re.split(r"(?=[?#])", value, maxsplit=1)
    inner = cleaned(named) + "".join(rest)
    if path and (inner == path or inner.startswith(path + "/")):
        return inner
    return base_url + inner


def _candidates(site: HugoSite, place: Place, folder: str, name: str) -> Iterator[tuple[str, str]]:
    """Where the file *name* may lie, each with its address; never outside the folders Hugo serves."""
    if "\0" in name:
        return
    if place.bundle is not None and not name.startswith("/"):
        home = site.content / place.bundle
        if file := _inside(home, name):
            yield f"{folder}/{quote(posixpath.normpath(name))}", file
    path = urlsplit(place.language.base_url).path.strip("/")
    plain = name.lstrip("/")
    names = [plain, plain.removeprefix(f"{path}/"), plain.removeprefix("static/")]
    for static in site.static:
        for inner in dict.fromkeys(names):
            if file := _inside(static, inner):
                address = quote(posixpath.normpath(inner))
                yield f"{place.language.base_url}/{address}", file


def _inside(folder: Path, name: str) -> str | None:
    """The absolute path of *name* in *folder*; None where it leads out of it, also by a link."""
    home = os.path.normpath(folder)
    file = os.path.normpath(os.path.join(home, name))  # noqa: PTH118 - once a page, and four times as fast
    if not file.startswith(home + os.sep):
        return None
    if not os.path.realpath(file).startswith(os.path.realpath(home) + os.sep):
        return None
    return file
