"""Which parts of a web page are not its text."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any


class Strictness(IntEnum):
    """How much of a page is taken for something around its text."""

    INVISIBLE = 0
    """Only what a browser doesn't show."""
    PLAIN_CHROME = 1
    """And what the page itself marks as navigation."""
    CHROME = 2
    """And what its names, or its being a form, give away."""


_INVISIBLE = frozenset(
    "head script style noscript template svg math-annotation iframe object embed audio video canvas map datalist "
    "input select textarea option link meta".split()
)
_CHROME = frozenset({"nav", "footer", "button", "dialog"})
_MORE_CHROME = frozenset({"aside", "form"})
_ROLES = frozenset(
    {"navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog", "alertdialog"}
)
_NAMES = re.compile(
    r"(?:[\w-]*[_-])?(?:cookies?|cookie-?(?:banner|consent|notice)|breadcrumbs?|menu|submenu|sidebar|side-?nav|navbar|"
    r"navbox|nav|navigation|mw-jump-link|mw-editsection|skip-?(?:link|to-content)|share-?(?:buttons|links)|"
    r"social-?(?:links|share|media)|noprint|toc|catlinks|mw-portlet|interlanguage|vector-dropdown|vector-page-toolbar|site-?footer|page-?footer|headerlink|advert(?:isement)?|newsletter)",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NEVER = frozenset({"html", "body", "main", "article", "h1"})
_CONTENT = ("main", "article", "h1")


class Filter:
    """Says of an element whether it, with all inside, is left out."""

    def __init__(self, strictness: Strictness) -> None:
        self._strictness = strictness

    def drops(self, element: Any) -> bool:
        """Whether to leave the element out."""
        tag = element.tag
        if tag in _INVISIBLE:
            return True
        if tag in _NEVER:
            return False
        attributes = element.attrib
        if not attributes and tag not in _CHROME and tag not in _MORE_CHROME and tag != "header":
            return False
        if _is_hidden(attributes):
            return True
        if self._strictness >= Strictness.PLAIN_CHROME and (
            tag in _CHROME
            or attributes.get("role") in _ROLES
            or (tag == "header" and _is_of_site(element) and not _holds_content(element))
        ):
            return True
        return self._strictness >= Strictness.CHROME and (
            tag in _MORE_CHROME or (_is_named_so(attributes) and not _holds_content(element))
        )


def _is_hidden(attributes: Any) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(_HIDDEN.search(attributes.get("style", "")))
    )


def _is_named_so(attributes: Any) -> bool:
    names = (attributes.get("class", "") + " " + attributes.get("id", "")).split()
    return any(_NAMES.fullmatch(name) for name in names)


def _is_of_site(header: Any) -> bool:
    return all(ancestor.tag not in {"main", "article", "section"} for ancestor in header.iterancestors())


def _holds_content(element: Any) -> bool:
    return next(element.iter(*_CONTENT), None) is not None
