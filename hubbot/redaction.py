"""Text without secrets: what looks like one, and those that this process knows. It reads no environment itself."""

import re
from collections.abc import Iterable, Mapping

SHORTEST = 8
_TELLING = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|WEBHOOK|(^|_)PAT$", re.IGNORECASE)
_SHAPES = re.compile(
    r"hf_\w{8,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+(?=@)|(?<=hooks\.slack\.com/services/)\S+|(?<=/api/webhooks/)\S+"
)


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """Return the text with `[secret]` in place of tokens, passwords in addresses, and every `known` secret."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return _SHAPES.sub("[secret]", text)


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of an environment whose names say that they are secret, and are long enough to be told."""
    found = {value for name, value in environment.items() if _TELLING.search(name) and len(value) >= SHORTEST}
    return tuple(sorted(found))
