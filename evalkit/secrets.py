"""What must never be written: values that are keys, by the name they have or the environment they come from."""

import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(api|access|secret|private|auth|account|subscription|service)[_-]?keys?$|^keys?$"
    r"|(?<!pad_)(?<!eos_)(?<!bos_)(?<!cls_)(?<!sep_)(?<!unk_)(?<!mask_)token$|secret$|passw(or)?d$|credentials?$"
    r"|authorization$|^auth$|cookies?$|headers$",
    re.IGNORECASE,
)
_SHORTEST = 8
"""Shorter values in the environment are no keys, and hiding them would garble messages."""


def is_secret(name: str) -> bool:
    """Tell whether a field, option, environment variable or header of this name holds a key: api_key, HF_TOKEN."""
    return _SECRET_NAME.search(name) is not None


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with these secrets, and the environment's, replaced by ***."""
    known = {*secrets, *(value for name, value in os.environ.items() if is_secret(name))}
    for secret in sorted((each for each in known if len(each) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def public_url(text: str) -> str:
    """Return a URL without user, password and secret parameters; any other text as it is."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if not is_secret(key)])
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
