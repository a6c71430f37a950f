"""What a person has to be told, read off the tables: so whoever crashes, nothing goes untold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import Connection

from distributor.config import Config, WebhookSettings
from distributor.delivery.retry import MOST_ATTEMPTS
from distributor.delivery.routes import Route
from distributor.model import CampaignState, DeliveryState
from distributor.reputation import BADLY_RECEIVED, is_too_much, percent
from distributor.store import accounts, alerts, campaigns, credentials, figures, health, tallies
from distributor.store.ledger import NOT_FOUND
from distributor.vendors import OUTBOX

BEFORE = (14, 7, 1)  # days before an account's key ends
NOT_THERE = 5  # times that a network took a post without a word and does not have it
LOOKED_UP = timedelta(minutes=30)  # for so long a network is asked before a person is


KINDS = (  # of alerts, each with a section in docs/runbook.md; an alert's key begins with one
    *("unclear", "unsettled", "refused", "homeless", "untaken", "awaiting", "paused", "expires", "down"),
    *("bounces", "complaints", "unheard", "gap", "silent", "disk"),  # see `_seldom`
    "clock",
    *(
        "reload",
        "answers",
        "cannot",
        "hook",
        "gate",
        "restored",
    ),  # raised where they happen, and ended by age
)
SELDOM = frozenset({"bounces", "complaints", "unheard", "gap", "silent", "disk"})
STAYING = frozenset({"reload", "answers", "cannot", "hook", "gate", "restored"})
RECENTLY = timedelta(days=7)
CLOCKS_DIFFER = timedelta(minutes=5)  # between machines, and nobody minds
HEARD_WITHIN = timedelta(days=1)  # a provider reports within it of most mails
ENOUGH = 100  # mails accepted, so that no report at all is no accident
ROOM = 20_000_000_000  # bytes: with so many free no disk is nearly full, however large it is


def watch(
    db: Connection, config: Config, routes: Mapping[str, Route], now: datetime, *, is_thorough: bool = True
) -> None:
    """Raise what is to be raised at *now*, each alert once; and clear what is so no more.

    *is_thorough*: also what takes longer to find out, and changes seldom.
    """
    found = dict(
        (
            *_unclear(db, routes, now),
            *_unsettled(db, routes, now),
            *_refused(db),
            *_homeless(db, config),
            *_untaken(db, routes),
            *_awaiting(db),
            *_paused(db),
            *_expiring(db, config, routes, now),
            *_in_trouble(db, config, routes),
            *_behind(db, now),
            *(_seldom(db, config, now) if is_thorough else ()),
        )
    )
    for key, text in found.items():
        alerts.raise_alert(db, key, text, now=now)
    looked_at = frozenset(KINDS) - STAYING - (frozenset() if is_thorough else SELDOM)
    alerts.clear(db, looked_at, but=found.keys(), now=now)
    if is_thorough:
        alerts.age_out(db, STAYING, now=now)


def _seldom(db: Connection, config: Config, now: datetime) -> Iterator[tuple[str, str]]:
    yield from _received(db, config, now)
    yield from _unheard(db, config, now)
    yield from _gap(db)
    yield from _silent(db, config, now)
    yield from _full(config)


def _behind(db: Connection, now: datetime) -> Iterator[tuple[str, str]]:
    """A clock that shows less than a slot that was handled already: what is due then is not due again."""
    latest = max((row.handled_at for row in campaigns.channels(db).values()), default=now)
    if latest - now > CLOCKS_DIFFER:
        yield (
            f"clock {latest:%Y-%m-%d}",
            f"The clock here shows {now:%Y-%m-%d %H:%M} UTC, and what was due at {latest:%Y-%m-%d %H:%M} UTC "
            "was handled already. Set it right: nothing is sent twice, but no edition is made before that "
            "time has come again here",
        )


def _unclear(db: Connection, routes: Mapping[str, Route], now: datetime) -> Iterator[tuple[str, str]]:
    """Posts of which nobody can say whether they are there."""
    ways = {way.name: way for route in routes.values() for way in route.ways}
    for row in accounts.posts_in(db, DeliveryState.UNCLEAR) if ways else ():
        way = ways.get(row.provider or "")
        is_asked = way is not None and way.found_after is not None
        if is_asked and row.called_at and now - row.called_at < LOOKED_UP:
            continue
        yield (
            f"unclear {row.campaign} {row.attempt}",
            f"{row.channel}: nobody can say whether “{row.title}” was posted ({row.reason}). Look at the "
            f"account, then: distributor campaigns settle {row.campaign} --as accepted (it is there) or "
            "--as again (it is not)",
        )


def _unsettled(db: Connection, routes: Mapping[str, Route], now: datetime) -> Iterator[tuple[str, str]]:
    """Mails of which nobody can say whether they were accepted."""
    ways = {way.name: way for route in routes.values() for way in route.ways}
    for row in accounts.mails_unclear(db) if ways else ():
        way = ways.get(row.provider or "")
        is_asked = way is not None and way.found_after is not None
        if is_asked and row.called_at and now - row.called_at < LOOKED_UP:
            continue
        yield (
            f"unsettled {row.campaign} {row.provider or ''}".rstrip(),
            f"{row.channel}: nobody can say whether {row.recipients:,} mails of campaign {row.campaign} were "
            f"accepted by {row.provider} ({row.reason}). Look there, then: distributor campaigns settle "
            f"{row.campaign} --as accepted (they were) or --as again (they were not)",
        )


def _homeless(db: Connection, config: Config) -> Iterator[tuple[str, str]]:
    """Posts that wait for a channel that is no more."""
    homeless: dict[str, int] = {}
    for row in accounts.posts_in(db, DeliveryState.QUEUED):
        if row.channel not in config.channels:
            homeless[row.channel] = homeless.get(row.channel, 0) + 1
    for channel, count in homeless.items():
        yield (
            f"homeless {channel}",
            f"{channel}: {count} of its posts wait, and it is not in the configuration any more: put it "
            "back, or cancel them: distributor campaigns list shows which",
        )


def _untaken(db: Connection, routes: Mapping[str, Route]) -> Iterator[tuple[str, str]]:
    """Posts that their network never answers and never has."""
    asked = {way.name for route in routes.values() for way in route.ways if way.found_after is not None}
    queued, unclear = (
        accounts.posts_in(db, state) for state in (DeliveryState.QUEUED, DeliveryState.UNCLEAR)
    )
    absent = [row for row in queued if row.reason and row.reason.startswith(NOT_FOUND)]
    late = [row for row in queued if row.reason and row.attempt >= MOST_ATTEMPTS]
    for row in {row.campaign: row for row in (*absent, *unclear, *late)}.values():
        if row.provider in asked and row.attempt >= NOT_THERE:
            yield (
                f"untaken {row.campaign}",
                f"{row.channel}: “{row.title}” was tried {row.attempt} times and is not there "
                f"({row.reason}). To stop it: distributor campaigns cancel {row.campaign}",
            )


def _refused(db: Connection) -> Iterator[tuple[str, str]]:
    """Posts that a network refused, or that were given up."""
    for row in accounts.posts_in(db, DeliveryState.REFUSED):
        yield (
            f"refused {row.campaign} {row.attempt}",
            f"{row.channel}: “{row.title}” was not posted: {row.reason}. Once that is mended: "
            f"distributor campaigns retry {row.campaign}",
        )


def _awaiting(db: Connection) -> Iterator[tuple[str, str]]:
    """Posts that are held back until a person has looked at them."""
    for row in accounts.posts_awaiting(db):
        yield (
            f"awaiting {row.campaign}",
            f"{row.channel}: “{row.title}” awaits approval ({row.reason}): distributor campaigns approve "
            f"{row.campaign}, or cancel",
        )

    for one in campaigns.campaigns(db, states=[CampaignState.AWAITING_APPROVAL], limit=1000):
        if one.kind == "newsletter":
            yield (
                f"awaiting {one.id}",
                f"{one.channel}: the edition of {one.slot} awaits approval ({one.reason or 'as set'}): "
                f"distributor campaigns approve {one.id}, or cancel",
            )


def _paused(db: Connection) -> Iterator[tuple[str, str]]:
    """Campaigns that were paused for how they were received."""
    for one in campaigns.campaigns(db, states=[CampaignState.PAUSED], limit=1000):
        if one.reason and one.reason.startswith(BADLY_RECEIVED):
            yield (
                f"paused {one.id}",
                f"{one.channel}: campaign {one.id} is {one.reason}. Look at how its readers came to the "
                f"list; then distributor campaigns resume {one.id}, or cancel",
            )


def _received(db: Connection, config: Config, now: datetime) -> Iterator[tuple[str, str]]:
    """Providers that may soon stop us for the bounces or complaints of our mails."""
    limits = config.reputation
    for name, one in tallies.standings_since(db, now - RECENTLY).items():
        for kind, count, most in (
            ("bounces", one.bounced, limits.warn_bounces),
            ("complaints", one.complained, limits.warn_complaints),
        ):
            if is_too_much(one, count, most, least=limits.least):
                yield (
                    f"{kind} {name}",
                    f"{name}: {percent(count, one.accepted)} of {one.accepted:,} mails of the last 7 days "
                    f"came to {kind}, and {most:g} % are too many: a provider may stop the account for it. "
                    "Look at how these readers came to the list",
                )


def _unheard(db: Connection, config: Config, now: datetime) -> Iterator[tuple[str, str]]:
    """Providers that were to report what became of mails, and report nothing."""
    awaited = {name for name, one in config.providers.items() if one.webhook != WebhookSettings()}
    if not awaited:
        return
    for name, counted in tallies.unheard(db, now - RECENTLY, now - HEARD_WITHIN).items():
        if name in awaited and counted >= ENOUGH:
            yield (
                f"unheard {name}",
                f"{name}: it accepted {counted:,} mails and reported nothing of them. Look at its webhook "
                "(docs/webhooks.md says how it is set up): without it, bounces and complaints go unseen",
            )


def _gap(db: Connection) -> Iterator[tuple[str, str]]:
    """Accounts that do not balance: a fault of ours."""
    if gap := tallies.gap(db):
        yield (
            "gap",
            f"the accounts of the campaigns do not balance: {gap:,} readers are neither excluded nor in any "
            "state. Nothing is sent twice for it; please report it, with: distributor db status",
        )


def _silent(db: Connection, config: Config, now: datetime) -> Iterator[tuple[str, str]]:
    """No article for longer than this site is ever silent."""
    _, published_at = figures.newest_article(db)
    days = config.alerts.silent_days
    if days and published_at and now - published_at > timedelta(days=days):
        yield (
            f"silent {published_at:%Y-%m-%d}",
            f"no article was published since {published_at:%Y-%m-%d}. If there was one, look at what "
            "distributor articles says of it",
        )


def _full(config: Config) -> Iterator[tuple[str, str]]:
    """A disk on which soon nothing can be written down."""
    seen: set[int] = set()
    for folder in (config.home, config.pictures.path):
        try:
            disk, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:  # not there yet
            continue
        free = usage.free / usage.total * 100 if usage.total else 100
        if disk not in seen and free < config.alerts.disk_percent and usage.free < ROOM:
            seen.add(disk)
            yield (
                f"disk {folder}",
                f"the disk of {folder} has {usage.free // 1_000_000:,} MB left ({free:.1f} %). When it is "
                "full, nothing can be recorded, so nothing is sent",
            )


def _in_trouble(db: Connection, config: Config, routes: Mapping[str, Route]) -> Iterator[tuple[str, str]]:
    """Accounts that take nothing until a person mends them, or have been away for long."""
    healths = health.healths(db)
    for name in config.providers:
        mail = healths.get(name)
        if mail and mail.is_down and mail.held_until:
            yield (
                f"down {name} {mail.held_until:%Y-%m-%d}",
                f"{name} takes no mail now: {mail.reason}. Its mails go to the next provider of their "
                "newsletter, if it has one, and else wait",
            )
    for name, channel in config.channels.items():
        own = healths.get(routes[name].ways[0].name) if channel.account != OUTBOX and name in routes else None
        if own and own.is_down and own.held_until:
            yield (
                f"down {own.name} {own.held_until:%Y-%m-%d}",
                f"{name}: {channel.account} on {channel.network} takes nothing now: {own.reason}. "
                "Its posts are tried for a day or more, and as long as it takes where only a key is wrong",
            )


def _expiring(
    db: Connection, config: Config, routes: Mapping[str, Route], now: datetime
) -> Iterator[tuple[str, str]]:
    """Accounts whose key ends soon, and cannot be renewed without a person."""
    kept = credentials.expiries(db)
    for name, channel in config.channels.items():
        if channel.account == OUTBOX or name not in routes:
            continue
        ends_at = kept.get(routes[name].ways[0].name)
        if channel.expires is not None:
            ends_at = datetime.combine(channel.expires, time(23, 59), UTC)
        if ends_at is None:
            continue
        due = [days for days in BEFORE if now >= ends_at - timedelta(days=days)]
        if due:
            left = "has ended" if now >= ends_at else f"ends on {ends_at:%Y-%m-%d}"
            yield (
                f"expires {name} {ends_at:%Y-%m-%d} {0 if now >= ends_at else due[-1]}",
                f"{name}: the key of {channel.account} on {channel.network} {left}; make a new one and "
                "put it into .env (docs/networks.md says how)",
            )
