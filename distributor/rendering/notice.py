"""A question to one reader as a mail: whether they want the newsletter, whether an address is theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment

from distributor.config import Newsletter
from distributor.model import Digest, Notice, Publication
from distributor.rendering.digest import SUBJECT, words_of
from distributor.rendering.environment import render
from distributor.rendering.filters import direction, tidy, web_address
from distributor.slots import MARKS, neutral_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a notice says, as its templates see it."""

    subject: str
    title: str
    text: str
    button: str
    otherwise: str


def notice(
    publication: Publication,
    newsletter: Newsletter,
    kind: Notice,
    *,
    asked_at: datetime,
    environment: Environment,
) -> Digest:
    """The mail that asks; what leads to the answer is the slot `confirm_url`."""
    language = publication.language
    words_file = words_of(environment, language)
    words = _words(environment, words_file, kind, newsletter)
    values = {
        "publication": publication,
        "newsletter": newsletter,
        "notice": words,
        "edition_at": asked_at,
        "language": language,
        "direction": direction(language),
        "words_file": words_file,
        "site_url": neutral_url(web_address(publication.base_url)),
        "logo": neutral_url(web_address(publication.logo)),
        "utm": {},
        "slots": MARKS,
    }
    subject = tidy(render(environment, "notice.subject.j2", **values), SUBJECT)
    values |= {"subject": subject, "preheader": words.text}
    text = render(environment, "notice.txt.j2", **values)
    return Digest(
        subject=subject,
        preheader=words.text,
        html=render(environment, "notice.mjml.j2", **values),
        text=re.sub(r"\n{3,}", "\n\n", text).strip() + "\n",
        language=language,
    )


def _words(environment: Environment, words_file: str, kind: Notice, newsletter: Newsletter) -> Words:
    """In the site's language; a file of words that lacks them has them in English."""
    own = environment.get_template(words_file).module
    usual = environment.get_template("words.j2").module
    return Words(
        **{
            name: str(getattr(own, f"{kind}_{name}", None) or getattr(usual, f"{kind}_{name}"))
            % {"newsletter": tidy(newsletter.title, SUBJECT)}
            for name in Words.__slots__
        }
    )
