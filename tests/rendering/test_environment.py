"""Where templates come from, and what is said when one does not render."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pytest

from distributor.errors import TemplateError
from distributor.model import Publication
from distributor.rendering.environment import environment, exists, render
from distributor.resources import templates

Written = Callable[..., jinja2.Environment]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """An environment whose user wrote the given files."""

    def write(**files: str) -> jinja2.Environment:
        folder = tmp_path / "email"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name.replace('_', '.')}.j2").write_text(text, encoding="utf-8")
        return environment(tmp_path, "email")

    return write


def complaint(env: jinja2.Environment, name: str, **values: object) -> str:
    """What is said of a template, without the folder it lies in."""
    with pytest.raises(TemplateError) as caught:
        render(env, name, **values)
    return re.sub(r"/\S*/", "", str(caught.value))


def test_the_users_own_template_goes_first(written: Written) -> None:
    """A file of the user's replaces the shipped one of the same name, and only that one."""
    env = written(words="{% set breaking = 'Now!' %}mine")
    assert render(env, "words.j2") == "mine"
    assert env.get_template("words.de.j2").filename == str(templates() / "email" / "words.de.j2")


def test_the_shipped_template_stays_within_reach(written: Written) -> None:
    """A user's template of the same name may change one block of the shipped one."""
    env = written(layout_txt="{% extends 'shipped/layout.txt.j2' %}{% block content %}mine{% endblock %}")
    assert env.get_template("layout.txt.j2").blocks.keys() == {"content"}
    assert exists(env, "shipped/layout.txt.j2")


def test_templates_are_read_again_when_they_change(written: Written, tmp_path: Path) -> None:
    """Who writes, changes or removes a template of theirs does not have to start the daemon again."""
    env = written()
    file = tmp_path / "email" / "words.j2"
    before = render(env, "words.j2")
    for number, text in enumerate(("mine", "still mine")):
        file.write_text(text, encoding="utf-8")
        os.utime(file, (number, number))
        assert render(env, "words.j2") == text
    file.unlink()
    assert render(env, "words.j2") == before


def test_environments_are_made_once() -> None:
    """Compiled templates are kept between renditions."""
    assert environment(None, "email") is environment(None, "email")


def test_every_shipped_template_compiles() -> None:
    """No shipped mail template has a syntax error."""
    env = environment(None, "email")
    names = env.list_templates(filter_func=lambda name: name.endswith(".j2") and "/" not in name)
    assert {"digest.mjml.j2", "breaking.txt.j2", "words.ar.j2"} <= set(names)
    for name in names:
        env.get_template(name)


@pytest.mark.parametrize("language", ["ar", "de", "es", "fr"])
def test_every_language_has_every_word(language: str) -> None:
    """A translation leaves no word of the mails out, and none untranslated."""
    env = environment(None, "email")
    english = vars(env.get_template("words.j2").module)
    words = vars(env.get_template(f"words.{language}.j2").module)
    assert {name for name in english if name[0] != "_"} <= words.keys()
    same = {name for name, word in english.items() if isinstance(word, str) and words.get(name) == word}
    assert {name for name in same if name[0] != "_"} == set()


def test_html_is_escaped_and_plain_text_is_not(written: Written) -> None:
    """The kind of a template decides whether `&` is written `&amp;`."""
    env = written(a_txt="{{ x }}", b_html="{{ x }}", c_mjml=MJML)
    assert render(env, "a.txt.j2", x="<&>") == "<&>"
    assert render(env, "b.html.j2", x="<&>") == "&lt;&amp;&gt;"
    assert "&lt;&amp;&gt;" in render(env, "c.mjml.j2", x="<&>")


def test_what_a_partial_returns_is_escaped_too(written: Written) -> None:
    """A macro's text goes into HTML as it is, so it is escaped where it is made."""
    env = written(
        part="{% macro by(x) %}By {{ x }}{% endmacro %}", b_html="{% import 'part.j2' as p %}{{ p.by(x) }}"
    )
    assert render(env, "b.html.j2", x="<b>") == "By &lt;b&gt;"


MJML = """<mjml>
<mj-head><mj-style>
@media (max-width:479px) {
  .a , .b { color : red; }
}
</mj-style></mj-head>
<mj-body><mj-section><mj-column>
<mj-text>{{ x }}</mj-text>
</mj-column></mj-section>
<mj-section><mj-column><mj-text>y</mj-text></mj-column></mj-section></mj-body>
</mjml>"""


def test_mjml_becomes_small_html_that_outlook_knows(written: Written) -> None:
    """Outlook's conditionals are kept, those that only close and open again are not, nor are spaces."""
    html = render(written(c_mjml=MJML), "c.mjml.j2", x="x")
    assert html.startswith("<!doctype html>")
    assert html.count("<!--[if mso | IE]>") >= 4
    assert "<![endif]--><!--[if mso | IE]>" not in html
    assert html.count("<!--[if") == html.count("<![endif]-->")
    assert "@media (max-width:479px){.a,.b{color :red;}}" in html
    assert len(html) < 6_000


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("a\n{{ titel }}", "x.txt.j2:2: 'titel' is undefined"),
        ("a\n\n{{ publication.titel }}", "x.txt.j2:3: 'Publication object' has no attribute 'titel'"),
        ("{% if %}", "x.txt.j2:1: Expected an expression"),
        ("a\n{% endfor %}", "x.txt.j2:2: Encountered unknown tag"),
        ("a\n{{ 1 | nofilter }}", "x.txt.j2:2: No filter named 'nofilter'"),
        ("\n\n{{ 1 // 0 }}", "x.txt.j2:3: integer division or modulo by zero"),
        ("\n{% include 'no.txt.j2' %}", "x.txt.j2:2: there is no template no.txt.j2"),
        ("\n{% include ['a.j2', 'b.j2'] %}", "x.txt.j2:2: there is no template a.j2 or b.j2"),
        ("\n{{ publication.title | date }}", "x.txt.j2:2: "),
    ],
)
def test_an_error_is_told_at_its_file_and_line(written: Written, template: str, told: str) -> None:
    """Whatever a template does wrong, the message starts with its file and line."""
    env = written(x_txt=template)
    assert complaint(env, "x.txt.j2", publication=PUBLICATION).startswith(
        told.replace("Publication object", NAME)
    )


PUBLICATION = Publication(title="The Quay", base_url="https://quay.example")
NAME = "distributor.model.Publication object"


def test_an_error_in_a_partial_is_told_at_the_partial(written: Written) -> None:
    """The file that is named is the one to be mended, not the one that includes it."""
    env = written(x_txt="{% include 'part.j2' %}", part="1\n{{ missing }}")
    assert complaint(env, "x.txt.j2").startswith("part.j2:2: 'missing' is undefined")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (MJML.replace("</mj-text>", "", 1), "x.mjml.j2:"),
        (
            MJML.replace("<mj-text>{{ x }}", "<mj-text><b><i>x</b></mj-text>\n<mj-text>"),
            "x.mjml.j2:8: not valid",
        ),
        (MJML.replace("mj-text", "mj-txet"), "x.mjml.j2: there is no MJML element mj-txet"),
        ("", "x.mjml.j2: not valid MJML"),
        ("<p>only HTML</p>", "x.mjml.j2: not valid MJML"),
    ],
)
def test_wrong_mjml_is_told_at_its_file(written: Written, template: str, told: str) -> None:
    """MJML that does not compile is a template's error, at its line where that can be known."""
    assert complaint(written(x_mjml=template), "x.mjml.j2", x="x").startswith(told)


def test_a_missing_template_is_told_with_the_folders(written: Written, tmp_path: Path) -> None:
    """Who misspells a template's name learns where it was looked for."""
    env = written()
    assert not exists(env, "weekly.mjml.j2")
    with pytest.raises(
        TemplateError, match=re.escape(f"no template weekly.mjml.j2 in {tmp_path / 'email'} or ")
    ):
        render(env, "weekly.mjml.j2")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """A picture that was saved as a template is an error with its name."""
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "x.txt.j2").write_bytes(b"\xff\xd8\xff\xe0")
    env = environment(tmp_path, "email")
    assert exists(env, "x.txt.j2")
    assert complaint(env, "x.txt.j2").startswith("x.txt.j2: ")


def test_a_template_outside_the_folders_cannot_be_named(written: Written, tmp_path: Path) -> None:
    """Names lead into the template folders only."""
    (tmp_path / "secret.txt.j2").write_text("secret", encoding="utf-8")
    with pytest.raises(TemplateError):
        render(written(), "../secret.txt.j2")


def test_filters_know_the_publication(written: Written) -> None:
    """Dates and links are the publication's without being told each time."""
    env = written(x_txt="{{ at | date }} {{ url | utm }} {{ url | utm(content='lead') }}")
    tokyo = Publication(title="T", base_url="https://quay.example", language="de", timezone="Asia/Tokyo")
    at = datetime(2026, 1, 1, 20, tzinfo=UTC)
    values = {"publication": tokyo, "utm": {"source": "n"}, "at": at, "url": "https://quay.example/a"}
    assert render(env, "x.txt.j2", **values) == (
        "2. Januar 2026 https://quay.example/a?utm_source=n https://quay.example/a?utm_source=n&utm_content=lead"
    )
