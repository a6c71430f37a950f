"""What forms and CRMs say of subscribers, as signed JSON: {"type": …, "timestamp": …, "data": {…}}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from distributor.config import Cadence, Language
from distributor.errors import Unreadable
from distributor.reception import Told, Wish
from subscribers.model import Evidence, known_zone, normal_address, plain
from subscribers.store import ANY_HOUR

AHEAD = timedelta(days=1)  # that a clock elsewhere may be wrong
NAMED = 3  # problems; a form that is set up wrongly has the same in every field


def _address(text: str) -> str:
    try:
        return normal_address(text)
    except ValueError as error:
        raise ValueError(f"{plain(text, at_most=80)!r} {error}") from None


def _zone(name: str) -> str:
    return known_zone(name) if name else ""


def _ip(text: str) -> str:
    try:
        return str(ip_address(text.strip())) if text else ""
    except ValueError:
        raise ValueError(f"{plain(text, at_most=60)!r} is no IP address") from None


def _aware(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond all times") from None


def _text(most: int) -> StringConstraints:
    return StringConstraints(max_length=most)


Address = Annotated[str, _text(320), AfterValidator(_address)]
Names = Annotated[tuple[Annotated[str, _text(200)], ...], Field(max_length=100)]
Value = Annotated[str | int | float | bool, Field(union_mode="left_to_right")] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Consent(_Part):
    """How it is known that the person wants it."""

    at: Annotated[datetime, AfterValidator(_aware)] | None = None  # without an offset it is UTC
    source: Annotated[str, _text(300)] = ""  # the form or program
    wording: Annotated[str, _text(1000)] = ""  # what stood beside the button
    ip: Annotated[str, _text(60), AfterValidator(_ip)] = ""
    agent: Annotated[str, _text(300)] = ""


class Data(_Part):
    """Whom it is of, and what they want."""

    email: Address
    newsletters: Names = ()
    name: Annotated[str, _text(200)] = ""
    topics: Names | None = None
    cadence: Cadence | None = None
    hour: Annotated[int, Field(ge=0, le=23)] | None = None
    timezone: Annotated[str, _text(60), AfterValidator(_zone)] | None = None
    locale: Language | Literal[""] | None = None
    attributes: Annotated[Mapping[Annotated[str, _text(60)], Value], Field(max_length=50)] = {}
    consent: Consent = Consent()
    confirmed: bool = False
    new_email: Address | None = None

    @model_validator(mode="after")
    def _has_evidence(self) -> Data:
        if self.confirmed and not (self.consent.at and (self.consent.source or self.consent.wording)):
            raise ValueError("`confirmed` needs `consent` with `at`, and `source` or `wording`")
        return self


class Message(BaseModel):
    """One thing that is said; what else stands beside these three is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    type: Literal["subscribe", "unsubscribe", "update", "erase"]
    data: Data

    @model_validator(mode="after")
    def _names_newsletters(self) -> Message:
        data = self.data
        if self.type == "subscribe" and not data.newsletters:
            raise ValueError("data.newsletters is missing: to subscribe, name at least one")
        if self.type == "update" and not data.newsletters and (data.topics is not None or data.cadence):
            raise ValueError("data.newsletters is missing: topics and cadence are those of a newsletter")
        return self


def told_by(body: Any, *, received_at: datetime, newsletters: Mapping[str, object]) -> Told:
    """What a message says; *newsletters* are those that there are.

    Raises:
        Unreadable: it says nothing that can be done; the message names the fields.
    """
    try:
        message = Message.model_validate(body)
    except ValidationError as error:
        raise Unreadable("cannot be taken: " + _said(error)) from None
    data = message.data
    for name in data.newsletters:
        if name not in newsletters:
            raise Unreadable(
                f"cannot be taken: data.newsletters: there is no newsletter {plain(name, at_most=60)!r}"
            )
    if data.consent.at and data.consent.at > received_at + AHEAD:
        raise Unreadable("cannot be taken: data.consent.at lies in the future")
    is_change = message.type == "update"
    return Told(
        what=message.type,
        wish=_wish(data, taken_back=_taken_back(data) if is_change else {}),
        evidence=_evidence(data.consent, received_at),
        is_confirmed=data.confirmed,
        new_address=data.new_email or "",
    )


def _wish(data: Data, *, taken_back: Mapping[str, Any]) -> Wish:
    choices = {"hour": data.hour, "timezone": data.timezone or None, "locale": data.locale or None}
    return Wish(
        address=data.email,
        newsletters=data.newsletters,
        name=plain(data.name, at_most=200),
        topics=data.topics,
        cadence=data.cadence,
        attributes={plain(name, at_most=60): _value(value) for name, value in data.attributes.items()},
        **{**choices, **taken_back},
    )


def _taken_back(data: Data) -> dict[str, Any]:
    """What is there and says nothing; what is not there stays."""
    nothing = {"hour": ANY_HOUR, "timezone": "", "locale": ""}
    return {
        name: none
        for name, none in nothing.items()
        if name in data.model_fields_set and _is_empty(data, name)
    }


def _is_empty(data: Data, name: str) -> bool:
    return getattr(data, name) in (None, "")


def _value(value: str | float | bool | None) -> str | None:
    """An attribute is text."""
    if value is None or isinstance(value, str):
        return value if value is None else plain(value, at_most=1000)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _evidence(consent: Consent, received_at: datetime) -> Evidence:
    return Evidence(
        source="webhook",
        at=consent.at or received_at,
        ip=consent.ip,
        agent=consent.agent,
        wording=consent.wording,
        detail=consent.source,
    )


WORDS = {  # pydantic's kind of error -> what is said of the field
    "missing": "is missing",
    "extra_forbidden": "is no field of it",
    "model_type": "is no object",
    "model_attributes_type": "is no object",
}


def _said(error: ValidationError) -> str:
    """What is wrong, in a sentence that names the fields and repeats little of what came."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_one(entry["loc"], entry["type"], entry["msg"]) for entry in problems[:NAMED]]
    return "; ".join(said) + ("; and more" if len(problems) > NAMED else "")


def _one(loc: tuple[int | str, ...], kind: str, told: str) -> str:
    name = ".".join(plain(str(part), at_most=60) for part in loc)
    if kind in WORDS:
        return f"{name or 'it'} {WORDS[kind]}"
    told = plain(told.removeprefix("Value error, "), at_most=300)
    return f"{name}: {told}" if name else told
