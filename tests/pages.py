"""Looks at a report as a browser would: is it whole, and does it need anything beside it?"""

import re
from html.parser import HTMLParser

VOID = ("meta", "img")


class Page(HTMLParser):
    """A page that was read: elements that are `open` at its end, what is fetched from `elsewhere`,
    the kinds of what is `inside`, and the `text` that people see."""

    def __init__(self, content: str):
        super().__init__()
        self.open, self.elsewhere, self.inside = [], [], []
        self.feed(content)
        body = re.sub("<style>.*?</style>", "", content, flags=re.DOTALL)
        self.text = " ".join(re.sub("<[^>]+>", " ", body).split())

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                here = value.startswith("data:")
                (self.inside if here else self.elsewhere).append(value[5:].split(";")[0])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
