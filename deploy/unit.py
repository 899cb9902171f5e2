"""Write the service file of a template with this machine's paths in it, escaped as its format asks.

usage: unit.py TEMPLATE PROGRAM LOG. Runs before hubbot is imported: standard library only.
"""

import plistlib
import sys
from pathlib import Path
from typing import Any


def filled_plist(template: bytes, places: dict[str, str]) -> bytes:
    """Return a launchd agent: plistlib escapes what XML would read."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        return places.get(value, value) if isinstance(value, str) else value

    return plistlib.dumps(fill(plistlib.loads(template)), sort_keys=False)


def filled_service(template: bytes, places: dict[str, str]) -> bytes:
    """Return a systemd unit: systemd.syntax(7) and systemd.service(5) say what a quoted word may hold."""
    text = template.decode()
    for place, path in places.items():
        if "\n" in path:
            raise SystemExit(f"hubbot: a path with a line break cannot stand in a unit: {path!r}")
        word = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        text = text.replace(place, f'"{word}"')
    return text.encode()


if __name__ == "__main__":
    template, program, log = sys.argv[1:]
    fill = filled_plist if template.endswith(".plist") else filled_service
    sys.stdout.buffer.write(fill(Path(template).read_bytes(), {"@PROGRAM@": program, "@LOG@": log}))
