"""From the configuration to the ways out: which provider takes what, in which order, and how much of it."""

from __future__ import annotations

from typing import Literal

from distributor.config import Channel, Config, Limits, Newsletter, Provider, mailbox
from distributor.delivery.quota import Limit
from distributor.delivery.routes import DAY, EmailWay, Route, SocialWay, outbox_name, pace_of, way_name
from distributor.providers.by_type import email_provider, social_provider
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailLimits, EmailProvider, SocialLimits
from distributor.providers.social import outbox as social_outbox
from distributor.vendors import OUTBOX


def routes(config: Config, *, timezone: str = "UTC") -> dict[str, Route]:
    """Newsletter or channel -> its ways out. Newsletters that share a provider share its connections.

    *timezone* is the site's.
    """
    providers = {name: email_provider(settings) for name, settings in config.providers.items()}
    found: dict[str, Route] = {}
    for name, newsletter in config.newsletters.items():
        ways = tuple(
            _email_way(name, newsletter, one, config.providers[one], providers[one])
            for one in newsletter.providers
        )
        found[name] = Route(ways=ways, resends=newsletter.on_unclear == "resend")
    accounts: dict[str, SocialWay] = {}  # channels that share an account share its connections and limits
    for name, channel in config.channels.items():
        own = _social_way(name, channel, media_url=f"{config.web.public_url}/media")
        found[name] = Route(ways=(accounts.setdefault(own.name, own),), pace=pace_of(channel, timezone))
    return found


def _social_way(name: str, channel: Channel, *, media_url: str) -> SocialWay:
    if channel.account == OUTBOX:
        # An outbox is a folder of its channel's, so it is shared with no other.
        return SocialWay(
            name=outbox_name(name),
            provider=social_outbox.Outbox(channel.path, channel=name),
        )
    provider = social_provider(channel, media_url=media_url)
    own = way_name(name, channel)
    return SocialWay(
        name=own,
        network=channel.network,
        provider=provider,
        limits=limits(own, channel.limits, provider.limits),
        seal=b"".join(secret.get_secret_value().encode() for secret in (channel.key, channel.refresh_key)),
    )


def _email_way(
    name: str, newsletter: Newsletter, provider_name: str, settings: Provider, provider: EmailProvider
) -> EmailWay:
    sender = Sender(
        from_=newsletter.from_,
        reply_to=newsletter.reply_to,
        list_name=newsletter.title,
        list_label=name,
    )
    domain = mailbox(newsletter.from_)[1].rpartition("@")[2].lower()
    return EmailWay(
        name=provider_name,
        provider=provider,
        sender=sender,
        limits=limits(provider_name, settings.limits, provider.limits),
        domain=domain,
        warmed_since=settings.warm_up.get(domain),
    )


def limits(name: str, configured: Limits, published: EmailLimits | SocialLimits) -> tuple[Limit, ...]:
    """What an account takes; of calls, what the vendor publishes unless the configuration knows better."""
    wanted: tuple[tuple[Literal["messages", "calls"], int, int | None], ...] = (
        ("messages", 1, configured.per_second),
        ("messages", 60, configured.per_minute),
        ("messages", 3600, configured.per_hour),
        ("messages", DAY, configured.per_day),
        ("calls", 1, configured.calls_per_second or published.calls_per_second),
        ("calls", 60, configured.calls_per_minute or published.calls_per_minute),
    )
    return tuple(
        Limit(name=name, counts=counts, seconds=seconds, most=most)
        for counts, seconds, most in wanted
        if most is not None
    )


def batch_size(route: Route) -> int:
    """How many recipients are frozen together: what the first choice takes at once, and is allowed to."""
    first = route.ways[0]
    allowed = [limit.most for limit in first.limits if limit.counts == "messages"]
    return min([first.recipients_per_call, *allowed])
