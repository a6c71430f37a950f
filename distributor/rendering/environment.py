"""Where templates come from, and what is said when one does not render."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from xml.parsers import expat

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    select_autoescape,
)
from mjml import mjml2html

from distributor.errors import TemplateError
from distributor.rendering.filters import FILTERS
from distributor.resources import templates

_PLAIN = ("txt.j2", "subject.j2", "css.j2")  # endings of templates that are not escaped


@cache
def environment(overrides: Path | None, kind: str) -> Environment:
    """The templates of one *kind*: email, social or pages.

    A file in `overrides/kind` goes before the shipped one of the same name, which stays within reach as
    `shipped/NAME`, so that `{% extends "shipped/digest.mjml.j2" %}` can change a single block.
    """
    shipped = FileSystemLoader(templates() / kind)
    own: list[BaseLoader] = [FileSystemLoader(overrides / kind)] if overrides else []
    usual = _Overridable(shipped.searchpath, overrides / kind) if overrides else shipped
    env = Environment(
        loader=ChoiceLoader([*own, usual, PrefixLoader({"shipped": shipped})]),
        undefined=StrictUndefined,
        # Partials count as markup, because what their macros return is inserted unescaped.
        autoescape=select_autoescape((), _PLAIN, default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(FILTERS)
    return env


class _Overridable(FileSystemLoader):
    """Templates that are read again as soon as there is one of the same name in another folder."""

    def __init__(self, searchpath: Sequence[str], overrides: Path) -> None:
        super().__init__(searchpath)
        self._overrides = overrides

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, filename, unchanged = super().get_source(environment, template)
        return source, filename, lambda: unchanged() and not (self._overrides / template).is_file()


def render(environment: Environment, name: str, /, **values: object) -> str:
    """The template *name* filled with *values*; a `*.mjml.j2` comes back as the HTML that it means.

    The filters `date` and `utm` read the values `publication` and `utm`.

    Raises:
        TemplateError: whatever is wrong with the template, at its file and line.
    """
    try:
        text = environment.get_template(name).render(values)
    except Exception as error:  # its expressions may raise anything
        raise TemplateError(_explained(environment, name, error)) from error
    return _compiled(environment, name, text) if name.endswith(".mjml.j2") else text


def exists(environment: Environment, name: str) -> bool:
    """Whether there is a template *name*; one that has an error is there."""
    try:
        environment.get_template(name)
    except TemplateNotFound as error:
        return error.name != name
    except (TemplateSyntaxError, OSError, ValueError):
        return True
    return True


def _explained(environment: Environment, name: str, error: Exception) -> str:
    """What is wrong, after the place of it: `templates/email/digest.mjml.j2:12: 'titel' is undefined`."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or error.name or name}:{error.lineno}: {error.message}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else _file(environment, name)
    if isinstance(error, TemplateNotFound):
        wanted = " or ".join(map(str, getattr(error, "templates", [error.name])))
        return f"{place}: there is no template {wanted} in {' or '.join(_folders(environment))}"
    return f"{place}: {error}" if error.args else f"{place}: {type(error).__name__}"


def _folders(environment: Environment) -> list[str]:
    loaders = environment.loader.loaders if isinstance(environment.loader, ChoiceLoader) else []
    return [path for loader in loaders if isinstance(loader, FileSystemLoader) for path in loader.searchpath]


def _file(environment: Environment, name: str) -> str:
    """The path that *name* was, or would have been, read from."""
    try:
        return environment.get_template(name).filename or name
    except Exception:  # it is being explained already
        return name


_UNKNOWN = re.compile(r"<(mj-[a-z-]+)")

_NEEDLESS = re.compile(r"<!\[endif\]-->\s*<!--\[if mso \| IE\]>")  # one conditional ends as the next begins

_STYLE = re.compile(r"(?<=>)[^<]*\{[^<]*(?=</style>)")


def _compiled(environment: Environment, name: str, mjml: str) -> str:
    """The smallest HTML that *mjml* means, conditionals for Outlook included."""
    try:
        html: str = mjml2html(mjml, disable_comments=True)
    except ValueError as error:
        raise TemplateError(_mjml_explained(environment, name, mjml, str(error))) from error
    if unknown := _UNKNOWN.search(html):
        raise TemplateError(f"{_file(environment, name)}: there is no MJML element {unknown[1]}")
    html = _NEEDLESS.sub("", html)
    return _STYLE.sub(lambda style: _smaller(style[0]), html)


def _smaller(css: str) -> str:
    css = re.sub(r"[ \t\r\n]+", " ", css)
    return re.sub(r" ?([{};,]) ?", r"\1", css).replace(": ", ":").strip()


def _mjml_explained(environment: Environment, name: str, mjml: str, reason: str) -> str:
    """The MJML compiler names no line; an XML parser finds it, and the template's text tells which of its."""
    file = _file(environment, name)
    wrong = _first_wrong_line(mjml)
    if wrong:
        source = Path(file).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(source, 1):
            if line.strip() == wrong:
                return f"{file}:{number}: not valid MJML: {reason}"
        reason += f", near {wrong[:80]!r}"
    return f"{file}: not valid MJML: {reason}"


def _first_wrong_line(xml: str) -> str:
    parser = expat.ParserCreate()
    parser.UseForeignDTD(True)  # so that &nbsp; and its like are no errors
    try:
        parser.Parse(xml.encode(), True)
    except expat.ExpatError as error:
        return [*xml.splitlines(), ""][error.lineno - 1].strip()
    return ""
