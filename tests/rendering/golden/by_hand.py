"""Strings that somebody thought of; what each is for stands beside it."""

from __future__ import annotations

LONG = "https://example.com/" + "a" * 600

BY_HAND = (
    "",
    " ",
    "a",
    "a" * 280,  # X's limit in Latin
    "故" * 140,  # and in ideographs
    "a" * 500,  # Mastodon's and Threads'
    "a" * 300,  # Bluesky's
    "👍" * 140,
    "👨‍👩‍👧‍👦" * 25,
    "e\u0301" * 150,  # decomposed: NFC halves it on X, graphemes on Mastodon and Bluesky
    "क्षि" * 40,  # conjuncts: one grapheme since Unicode 15.1, two in Ruby 3.4
    "हिन्दी में समाचार",
    "o" + "\u0301" * 400,  # few graphemes, many bytes
    "\u1112\u1161\u11ab\u1100\u1173\u11af",  # Hangul in conjoining jamo
    "\u1100" * 20,  # leading consonants alone join into one
    "🇩🇪🇫🇷🇮",  # two flags and a half
    "1️⃣2️⃣#️⃣*️⃣",  # keycaps
    "👍🏻👍🏼👍🏽👍🏾👍🏿",
    "☎︎ and ☎️",  # as text, as emoji
    "❤️‍🔥🐦‍🔥🫱🏻‍🫲🏿",  # younger than twitter-text's table of emoji
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿🏴󠁧󠁢󠁳󠁣󠁴󠁿🏴󠁧󠁢󠁷󠁬󠁳󠁿",
    "السفينة تغادر ظهرا — غدا",
    "\u202eabc\u202c",  # turned around, and back
    "می\u200cخواهم",  # with a joiner's opposite
    "น้ำท่วม กำแพง",
    "a\r\nb\rc\nd",
    "\r\n" * 10,
    "a\u0000b\u0007c\u001bd",
    "a\u2028b\u2029c\u0085d",
    "https://example.com",
    "https://example.com/",
    "https://example.com.",
    "https://example.com/a.",
    "https://example.com/a...",
    "https://example.com:8443/a",
    "https://example.com:8443.",
    "(https://example.com/a)",
    "https://example.com/a_(b)",
    "https://example.com/a_(b_(c))",
    "https://example.com/a_(b",
    "https://example.com/a)b",
    "https://ja.wikipedia.org/wiki/灯台",  # X ends the address before the ideographs, Mastodon does not
    "https://ja.wikipedia.org/wiki/灯台_(建築)",
    "https://example.com/a=",  # on Mastodon the sign is no part of it
    "https://example.com/a==?b=c==",
    "https://example.com/?q=a&b=c.",
    "https://example.com?q=灯台",
    "https://user:pass@example.com/",
    "https://bücher.de/ü",
    "https://例え.テスト/",  # no such domain
    "https://xn--fsqu00a.xn--0zwm56d/",
    "https://192.168.0.1/",
    "https://localhost/",
    "https://courier.example/2026/11/ferry/",  # reserved, so no network takes it for an address
    "https://example.com/a https://example.com/b",
    "https://example.com/ahttps://example.com/b",
    "https://example.com,https://example.org",
    "example.com/https://example.org/",
    "xhttps://example.com/",
    "éhttps://example.com/",
    "日https://example.com/",
    "@https://example.com/",
    "#https://example.com/",
    "$https://example.com/",
    "\u200ehttps://example.com/",
    LONG,
    f"See {LONG} now",
    "https://" + "a." * 15 + "com/",
    "https://" + "a" * 64 + ".com/",  # a label too long for a name
    "https://t.co/abc123 https://t.co/abc123/more",
    "https://t.co/" + "a" * 50,
    "gemini://example.com/ gopher://a.org ipfs://example.net",  # addresses to Mastodon alone
    "ftp://example.com/ mailto:a@example.com magnet:?xt=urn:btih:x",
    "example.com and Booking.com, e.g. ASP.NET",
    "end of sentence.Next sentence",
    "1.5 and v2.0.1 and file.txt and a.b",
    "@lena",
    "@lena@social.example",
    "@lena@social.example, @tom@example.com.",
    "@lena@social.example@more",  # no mention to Mastodon
    "@lena@social.exampleé",
    "@lena@例え.jp",
    "@lena@social.example://x",
    "a@lena@social.example",
    "/@lena@social.example",
    "https://social.example.com/@lena@other.example",
    "@a.b.c@x.y.z and @-a@b",
    "＠lena@social.example",
    "lena@social.example",
    "@" + "a" * 50 + "@" + "b" * 50 + ".example",
    "#HarbourNews #港 #été #a_b #1 #1a",
    "#news.#more",
    "a&b <c> *d* _e_ ~f~ `g` |h| [i](j) {k} \\l",
    "&lt;b&gt; &amp; &#39;",
    "<script>alert(1)</script>",
    "<@123> <#456> <!channel> @everyone @here",
    "> quote\n# heading\n- list\n+ list\n1. list",
    "||spoiler|| ~~strike~~ __under__ ***both***",
    "(c) (r) (tm) © ® ™",
    "“quotes” ‘single’ „low“ «guillemets» … – —",
    "½ ² № ℃ ㎏ ﷺ",
    "𝕳𝖊𝖑𝖑𝖔 𝐛𝐨𝐥𝐝",  # letters beyond the first plane
    "\U0010fffd\ue000",
    "ǅ ﬀ İ ß ẞ",
    "A\u030a Å Å",  # three ways to write one letter
    "가 가",
    "ＡＢＣ　１２３",
    "ﾊﾟﾋﾟ",
    "\u0600123 \u06dd45",  # marks that join what follows
    "\u200d\u200d\u200d",
    "\ufe0f\u20e3",
    "a\u200db",
    "👩\u200d",
    "\u00ad" * 5 + "soft\u00adhyphen",
)
