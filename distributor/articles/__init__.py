"""Articles: what a Hugo site, or a feed, has published, and where.

`hugo.read_site` reads the site's configuration, `scan.scan` the pages that changed, `page.Page.at` says what
one is at a moment, `body.body_html` gives its body; `feed.fetch_feed` and `feed.read_feed` give the same
pages from a feed. Nothing is imported here, so that who only scans does not load a feed parser.
"""
