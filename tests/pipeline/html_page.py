"""Reads a page that must need no other file, and no script."""

from html.parser import HTMLParser

EVIL = "<script>alert(1)</script><img src=http://evil.example/x.png onerror=alert(1)> \"' lamp"


class Elements(HTMLParser):
    """Every element with its attributes; text in between."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.text.append(" ".join(data.split()))


def read(path):
    text = path.read_text(encoding="utf-8")
    elements = Elements(text)
    assert not elements.open and "<!doctype html>" in text
    assert not [tag for tag, _ in elements.found if tag in ("script", "iframe", "link", "object", "form")]
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/") and "href" not in attributes
    assert "url(" not in text and "@import" not in text
    return elements
