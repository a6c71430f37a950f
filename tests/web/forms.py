"""Forms as a browser without JavaScript sends them: what stands in the page, and what a test fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

Filled = Mapping[str, str | Sequence[str]]


@dataclass(slots=True)
class Form:
    """One form of a page; of its buttons what stands on them, and what they send."""

    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str | None, value: str | None) -> None:
        if name:
            self.fields.setdefault(name, []).append(value or "")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select = ""
        self._options: list[tuple[str, bool]] = []
        self._button: tuple[str, str] | None = None
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        if tag == "form":
            assert has.get("method") == "post", "a form that changes something is posted"
            self._form = Form(has.get("action") or "")
            self.forms.append(self._form)
        elif self._form is None:
            return
        elif tag == "input" and (has.get("type") != "checkbox" or "checked" in has):
            self._form.add(has.get("name"), has.get("value"))
        elif tag == "select":
            self._select, self._options = has["name"] or "", []
        elif tag == "option":
            self._options.append((has["value"] or "", "selected" in has))
        elif tag == "button":
            self._button, self._label = (has.get("name") or "", has.get("value") or ""), ""

    def handle_data(self, data: str) -> None:
        self._label += data

    def handle_endtag(self, tag: str) -> None:
        if self._form is None:
            return
        if tag == "select":
            chosen = [value for value, is_selected in self._options if is_selected]
            self._form.add(self._select, (chosen or [self._options[0][0]])[0])
        elif tag == "button" and self._button is not None:
            self._form.buttons[self._label.strip()] = self._button
        elif tag == "form":
            self._form = None


def forms(page: httpx.Response) -> list[Form]:
    read = _Page()
    read.feed(page.text)
    return read.forms


def press(
    client: httpx.Client, page: httpx.Response, button: str, filled: Filled | None = None
) -> httpx.Response:
    """Fill in the form that has this button, and press it."""
    [form] = [form for form in forms(page) if button in form.buttons]
    sent: dict[str, str | Sequence[str]] = {**form.fields, **(filled or {})}
    name, value = form.buttons[button]
    if name:
        sent[name] = value
    return client.post(form.action or page.url.raw_path.decode(), data=sent)
