"""A post as the JSON that each network's API takes.

What only the account's provider can know is not here: tokens, the author's id, and the id a network gives an
uploaded picture, for which `{"$picture": HASH}` stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlsplit

import regex

from distributor.config import Channel
from distributor.model import Picture, Post
from distributor.rendering import limits, text

Json = dict[str, Any]

SHORT_LINK = 40  # graphemes


def payload(post: Post, channel: Channel, *, at: datetime) -> Json:
    """What *post* is to its network; *at* is the time it claims, where the network asks for one."""
    return _PAYLOADS[post.network](post, channel, at)


def has_card(post: Post, channel: Channel) -> bool:
    """Whether the payload carries a link card of its own, besides what the text says."""
    if not post.link:
        return False
    if post.network == "linkedin":  # a card or a QR is made to be seen whole, not as a thumbnail
        return len(post.pictures) <= 1 and channel.media in ("banner", "link", "none")
    if post.network == "bluesky":
        return channel.media == "link" or not post.pictures
    return post.network == "discord" or (post.network == "facebook" and not post.pictures)


def short_link(address: str) -> str:
    """*address* as a reader needs to see it: without its scheme, and its end where that is long."""
    plain = regex.sub(r"^https?://(?:www\.)?|/$", "", address.partition("?")[0])
    letters = text.graphemes(plain)
    return plain if len(letters) <= SHORT_LINK else "".join(letters[: SHORT_LINK - 1]) + text.ELLIPSIS


def _bluesky(post: Post, channel: Channel, at: datetime) -> Json:
    """app.bsky.feed.post: https://github.com/bluesky-social/atproto lexicons/app/bsky/feed/post.json"""
    record: Json = {
        "$type": "app.bsky.feed.post",
        "text": post.text,
        "createdAt": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "langs": [post.language],
    }
    if found := facets(post.text, post.link):
        record["facets"] = found
    if has_card(post, channel):
        record["embed"] = {"$type": "app.bsky.embed.external", "external": _bluesky_card(post)}
    elif post.pictures:
        record["embed"] = {
            "$type": "app.bsky.embed.images",
            "images": list(map(_bluesky_image, post.pictures)),
        }
    return record


def _bluesky_card(post: Post) -> Json:
    card: Json = {
        "uri": post.link,
        "title": _clipped(post.title, 300),
        "description": _clipped(post.summary, 1000),  # clients show less; the record must stay small
    }
    if post.pictures:
        card["thumb"] = _placeholder(post.pictures[0])
    return card


def _bluesky_image(picture: Picture) -> Json:
    return {
        "image": _placeholder(picture),
        "alt": picture.alt,
        "aspectRatio": {"width": picture.width, "height": picture.height},
    }


def facets(post_text: str, link: str | None) -> list[Json]:
    """The links and hashtags of *post_text* for Bluesky, which finds none by itself, in order.

    Ranges are offsets in UTF-8. The short form of *link* leads to it. Mentions stay plain text: they need
    the id of an account. Rules: https://docs.bsky.app/docs/advanced-guides/post-richtext
    """
    return [
        {
            "index": {
                "byteStart": len(post_text[:start].encode()),
                "byteEnd": len(post_text[:end].encode()),
            },
            "features": [{"$type": f"app.bsky.richtext.facet#{kind}", _TARGETS[kind]: target}],
        }
        for start, end, kind, target in sorted(marks(post_text, link))
    ]


_TARGETS = {"link": "uri", "tag": "tag"}


def marks(post_text: str, link: str | None) -> Iterator[tuple[int, int, str, str]]:
    """What `facets` marks: start and end in code points, "link" or "tag", and its target; in no order."""
    taken: set[int] = set()
    short = short_link(link) if link else ""
    if short and link:
        # Not after a letter or a slash: there it is the middle of another address.
        for match in regex.finditer(rf"(?<![\w./@-]){regex.escape(short)}(?![\w/@-])", post_text):
            taken.update(range(match.start(), match.end()))
            yield match.start(), match.end(), "link", link
    for span in text.spans(post_text):
        if taken.intersection(range(span.start, span.end)):
            continue
        if span.kind == "link":
            yield span.start, span.end, "link", span.text
        after_space = span.start == 0 or post_text[span.start - 1].isspace()
        if span.kind == "hashtag" and after_space and len(text.graphemes(span.text)) <= 65:
            yield span.start, span.end, "tag", span.text[1:]


def _mastodon(post: Post, channel: Channel, at: datetime) -> Json:
    """https://docs.joinmastodon.org/methods/statuses/#create; descriptions go with the uploads."""
    return {
        "status": post.text,
        "language": mastodon_language(post.language),
        "visibility": channel.visibility,
        "media_ids": list(map(_placeholder, post.pictures)),
    }


def mastodon_language(tag: str) -> str:
    """A BCP 47 tag as Mastodon knows it: "de", and of Chinese where it is written (languages_helper.rb)."""
    language, *more = tag.lower().split("-")
    if language != "zh":
        return language
    return next((_CHINESE[part] for part in reversed(more) if part in _CHINESE), language)


_CHINESE = {
    "cn": "zh-CN",
    "hans": "zh-CN",
    "hant": "zh-TW",
    "hk": "zh-HK",
    "sg": "zh-CN",
    "tw": "zh-TW",
    "yue": "zh-YUE",
}  # region or script -> its tag


def _x(post: Post, channel: Channel, at: datetime) -> Json:
    """https://docs.x.com/x-api/posts/creation-of-a-post; alternative texts go with the uploads."""
    body: Json = {"text": post.text}
    if post.pictures:
        body["media"] = {"media_ids": list(map(_placeholder, post.pictures))}
    return body


def _linkedin(post: Post, channel: Channel, at: datetime) -> Json:
    """https://learn.microsoft.com/linkedin/marketing/community-management/shares/posts-api"""
    body: Json = {
        "commentary": text.little(post.text),
        "visibility": "PUBLIC",
        "distribution": {
            "feedDistribution": "MAIN_FEED",
            "targetEntities": [],
            "thirdPartyDistributionChannels": [],
        },
        "lifecycleState": "PUBLISHED",
        "isReshareDisabledByAuthor": False,
    }
    if has_card(post, channel):
        body["content"] = {"article": _linkedin_article(post)}
    elif len(post.pictures) == 1:
        body["content"] = {"media": _linkedin_image(post.pictures[0])}
    elif post.pictures:
        body["content"] = {"multiImage": {"images": list(map(_linkedin_image, post.pictures))}}
    return body


def _linkedin_article(post: Post) -> Json:
    article: Json = {
        "source": post.link,
        "title": _clipped(post.title, 400),
        "description": _clipped(post.summary, 4086),
    }
    if post.pictures:
        article["thumbnail"] = _placeholder(post.pictures[0])
        article["thumbnailAltText"] = post.pictures[0].alt
    return article


def _linkedin_image(picture: Picture) -> Json:
    return {"id": _placeholder(picture), "altText": picture.alt}


def _facebook(post: Post, channel: Channel, at: datetime) -> Json:
    """https://developers.facebook.com/docs/pages-api/posts; alternative texts go with the uploads."""
    body: Json = {"message": post.text}
    if post.pictures:
        body["attached_media"] = [{"media_fbid": _placeholder(picture)} for picture in post.pictures]
    elif has_card(post, channel):
        body["link"] = post.link
    return body


def _instagram(post: Post, channel: Channel, at: datetime) -> Json:
    """https://developers.facebook.com/docs/instagram-platform/content-publishing (a container)"""
    if len(post.pictures) == 1:
        return {"caption": post.text, **_meta_image(post.pictures[0])}
    children = [{"is_carousel_item": True, **_meta_image(picture)} for picture in post.pictures]
    return {"media_type": "CAROUSEL", "caption": post.text, "children": children}


def _threads(post: Post, channel: Channel, at: datetime) -> Json:
    """https://developers.facebook.com/docs/threads/posts (a container)"""
    if not post.pictures:
        return {"media_type": "TEXT", "text": post.text}
    if len(post.pictures) == 1:
        return {"media_type": "IMAGE", "text": post.text, **_meta_image(post.pictures[0])}
    children = [
        {"media_type": "IMAGE", "is_carousel_item": True, **_meta_image(picture)} for picture in post.pictures
    ]
    return {"media_type": "CAROUSEL", "text": post.text, "children": children}


def _meta_image(picture: Picture) -> Json:
    return {"image_url": _placeholder(picture), "alt_text": picture.alt}


def _telegram(post: Post, channel: Channel, at: datetime) -> Json:
    """https://core.telegram.org/bots/api#sendmessage; `method` is the last part of the address."""
    words = escape(post.text, quote=False)
    if not post.pictures:
        return {"method": "sendMessage", "text": words, "parse_mode": "HTML"}
    if len(post.pictures) == 1:
        photo = _placeholder(post.pictures[0])
        return {"method": "sendPhoto", "photo": photo, "caption": words, "parse_mode": "HTML"}
    media: list[Json] = [{"type": "photo", "media": _placeholder(picture)} for picture in post.pictures]
    media[0] |= {"caption": words, "parse_mode": "HTML"}
    return {"method": "sendMediaGroup", "media": media}


def _discord(post: Post, channel: Channel, at: datetime) -> Json:
    """https://discord.com/developers/docs/resources/webhook#execute-webhook

    Nobody is pinged, whatever the text says. A link card says title and summary, so these are not said twice.
    """
    body: Json = {
        "allowed_mentions": {"parse": []},
        "attachments": [
            {"id": place, "filename": picture.name, "description": picture.alt, "file": _placeholder(picture)}
            for place, picture in enumerate(post.pictures)
        ],
    }
    carded = has_card(post, channel)
    if carded:
        body["embeds"] = [_discord_embed(post, at)]
    if not carded or post.text != post.title:
        body["content"] = text.markdown(post.text)
    return body


def _discord_embed(post: Post, at: datetime) -> Json:
    embed: Json = {
        "url": post.link,
        "title": _escaped(post.title, 256),
        "description": _escaped(post.summary, 4096),
        "timestamp": at.astimezone(UTC).isoformat(),
    }
    if post.pictures:
        embed["image"] = {"url": f"attachment://{post.pictures[0].name}"}
    return embed


def _escaped(words: str, at_most: int) -> str:
    return text.markdown(text.clip(words, limits.TextLimit(at_most=at_most, counted="markdown")))


def _slack(post: Post, channel: Channel, at: datetime) -> Json:
    """https://docs.slack.dev/reference/methods/chat.postMessage; `text` is what notifications show."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text.mrkdwn(post.text)}}
    images = [
        {"type": "image", "slack_file": {"id": _placeholder(picture)}, "alt_text": picture.alt}
        for picture in post.pictures
    ]
    unfurl = not post.pictures
    return {
        "text": text.mrkdwn(post.text),
        "blocks": [section, *images],
        "unfurl_links": unfurl,
        "unfurl_media": unfurl,
    }


def _clipped(words: str, at_most: int) -> str:
    return text.clip(words, limits.TextLimit(at_most=at_most, counted="utf16"))


def _placeholder(picture: Picture) -> Json:
    return {"$picture": picture.hash}


def host(address: str) -> str:
    """The name that a link card shows: "courier.example"."""
    return (urlsplit(address).hostname or "").removeprefix("www.")


_PAYLOADS: dict[str, Callable[[Post, Channel, datetime], Json]] = {
    "bluesky": _bluesky,
    "mastodon": _mastodon,
    "x": _x,
    "linkedin": _linkedin,
    "facebook": _facebook,
    "instagram": _instagram,
    "threads": _threads,
    "telegram": _telegram,
    "discord": _discord,
    "slack": _slack,
}
