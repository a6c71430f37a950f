"""From the configuration to the ways out: which provider takes what, in which order, and how much of it."""

from __future__ import annotations

from typing import Literal

from distributor.config import Config, Limits, Newsletter, Provider, mailbox
from distributor.delivery.quota import Limit
from distributor.delivery.routes import DAY, EmailWay, Route, SocialWay
from distributor.providers.by_type import email_provider
from distributor.providers.email.mime import Sender
from distributor.providers.protocol import EmailLimits, EmailProvider
from distributor.providers.social import outbox as social_outbox


def routes(config: Config) -> dict[str, Route]:
    """Newsletter or channel -> its ways out. Newsletters that share a provider share its connections."""
    providers = {name: email_provider(settings) for name, settings in config.providers.items()}
    found: dict[str, Route] = {}
    for name, newsletter in config.newsletters.items():
        ways = tuple(
            _email_way(name, newsletter, one, config.providers[one], providers[one])
            for one in newsletter.providers
        )
        found[name] = Route(ways=ways, resends=newsletter.on_unclear == "resend")
    for name, channel in config.channels.items():
        account = social_outbox.Outbox(channel.path, channel=name)
        found[name] = Route(ways=(SocialWay(name=f"{channel.network} outbox", provider=account),))
    return found


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


def limits(name: str, configured: Limits, published: EmailLimits) -> tuple[Limit, ...]:
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
