"""Examine this machine as a runner: what works, what is missing, what to do about it. It changes nothing.

The Hub is asked once; a token is never shown.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubbot import settings
from hubbot.catalogue.known_bad_versions import among, installed
from hubbot.errors import HubbotError, TokenRejected
from hubbot.files.atomic_folders import free_bytes
from hubbot.files.sizes import readable
from hubbot.jobs.retry import MAX_ATTEMPTS

if TYPE_CHECKING:
    from hubbot.hub.answers import Account

PACKAGES = ("mlx", "mlx-lm", "huggingface_hub")
LITTLE_ROOM = 20e9
# A clock that is further off makes signatures and pauses wrong.
CLOCK_SECONDS = 60.0
CLOCK_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing examined."""

    name: str
    status: Literal["ok", "warn", "fail"]
    message: str
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def examine() -> list[Check]:
    """Return every check; those that need readable settings are left out where the settings are not."""
    checks = [_settings_file(), *_packages(), *_known_bad(installed()), _guarded("device", _device), *_kernels()]
    try:
        chosen = settings.load()
    except HubbotError:
        return checks
    checks += [_guarded("data folder", lambda: _room(chosen)), _guarded("database", lambda: _database(chosen))]
    checks += [_memory(chosen), *_service(sys.platform, Path.home()), _notices(chosen)]
    return checks + list(_watching(chosen)) + list(_hub(chosen))


def explain() -> dict[str, dict[str, Any]]:
    """Return every setting with its value in force (its default where the file cannot be read) and meaning."""
    try:
        chosen = settings.load()
        values = chosen.model_dump(mode="json")
        values["database_url"] = "(set)" if chosen.database_url else chosen.database  # it may hold a password
    except HubbotError:
        values = {}
    if values.get("max_attempts") is None:
        values["max_attempts"] = MAX_ATTEMPTS
    explained = {}
    for key, field in settings.Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        explained[key] = {"value": values.get(key, default), "meaning": field.description or ""}
    return explained


def _settings_file() -> Check:
    file = settings.settings_file()
    try:
        settings.load()
    except HubbotError as error:
        return Check(name="settings", status="fail", message=str(error), hint=f"mend {file}")
    if file.is_file():
        return Check(name="settings", status="ok", message=str(file))
    return Check(
        name="settings", status="warn", message=f"{file} does not exist, so the defaults are in force",
        hint="write it with at least `org` and one [[watch]] rule; the table below explains the keys",
    )  # fmt: skip


def _packages() -> Iterator[Check]:
    yield Check(name="python", status="ok", message=sys.version.split()[0])
    for package in PACKAGES:
        try:
            yield Check(name=package, status="ok", message=version(package))
        except PackageNotFoundError:
            yield Check(name=package, status="fail", message="not installed", hint="install hubbot anew")


def _known_bad(versions: Mapping[str, str]) -> Iterator[Check]:
    for row in among(versions):
        touched = ", ".join(sorted(row.model_types or row.modes)) or "every model"
        yield Check(
            name=f"known fault of {row.package}", status="warn",
            message=f"{versions[row.package]} is silently wrong for {touched}: {row.wrong} ({row.issue})",
            hint=f"install {row.package} later than {row.last}, then `hubbot audit --known-bad`",
        )  # fmt: skip


def _device() -> Check:
    from hubbot.runtime import blas_products, loading  # noqa: PLC0415 - MLX takes a while to import

    found, builds = loading.describe(), loading.builds()
    multiplier = "numpy's BLAS" if blas_products.blas_is_better() else "MLX"
    message = f"{found['device']} {found['name']}, {' and '.join(builds) or 'mlx'}, products by {multiplier}"
    if len(builds) > 1:
        return Check(
            name="device", status="warn", message=message,
            hint="they own the same library file, and the one installed last is in force: uninstall the other",
        )  # fmt: skip
    return Check(name="device", status="ok", message=message)


def _kernels() -> Iterator[Check]:
    from hubbot.engine.formats.kernels import checked  # noqa: PLC0415 - numba compiles, the first time for seconds

    reasons = {dtype: checked(dtype).reason for dtype in ("BF16", "F16", "F32")}
    for reason in dict.fromkeys(reasons.values()):
        dtypes = ", ".join(dtype for dtype, own in reasons.items() if own == reason)
        if reason is None:
            message = "compiled; the self-check finds the bits of the definitions"
            yield Check(name=f"quantizer {dtypes}", status="ok", message=message)
        else:
            yield Check(
                name=f"quantizer {dtypes}", status="warn", message=f"numpy, several times slower: {reason}",
                hint="the bits are the same; install numba for this machine, or report the self-check's words",
            )  # fmt: skip


def _room(chosen: settings.Settings) -> Check:
    chosen.data_dir.mkdir(parents=True, exist_ok=True)
    free = free_bytes(chosen.data_dir)
    message = f"{chosen.data_dir}, {readable(free)} free"
    if free < LITTLE_ROOM:
        return Check(name="data folder", status="warn", message=message, hint="large checkpoints will not fit")
    return Check(name="data folder", status="ok", message=message)


def _database(chosen: settings.Settings) -> Check:
    from hubbot.jobs.open_records import open_records  # noqa: PLC0415 - SQLAlchemy is slow to import

    with open_records(chosen) as records:
        records.check()
        counts = {state: count for state, count in records.queue.counts().items() if count}
    told = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no jobs yet"
    return Check(name="database", status="ok", message=told)


def _memory(chosen: settings.Settings) -> Check:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = chosen.child_bytes
    message = f"{readable(machine)}; a stage may hold {readable(limit)}"
    if limit > machine:
        hint = f"set memory_gigabytes to less than {machine / 1e9:.0f}, or leave it away"
        return Check(name="memory", status="warn", message=message, hint=hint)
    return Check(name="memory", status="ok", message=message)


def _service(system: str, home: Path) -> Iterator[Check]:
    """Look for the unit that deploy/install writes; elsewhere than on a Mac or Linux there is none."""
    units = {"darwin": home / "Library/LaunchAgents/hubbot.plist", "linux": _systemd(home)}
    unit = units.get(system)
    if unit is None:
        return
    if unit.is_file():
        yield Check(name="service", status="ok", message=str(unit))
    else:
        yield Check(
            name="service", status="warn", message="not installed: after a restart of the machine nothing runs",
            hint="deploy/install makes hubbot run whenever its user is logged in",
        )  # fmt: skip


def _systemd(home: Path) -> Path:
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else home / ".config") / "systemd/user/hubbot.service"


def _notices(chosen: settings.Settings) -> Check:
    if chosen.notify is None:
        return Check(
            name="notices", status="warn", message="nobody is told when a job parks or fails",
            hint="set `notify` to a webhook's address or a file",
        )  # fmt: skip
    return Check(name="notices", status="ok", message="`notify` is set")


def _clock(endpoint: str) -> Check:
    """Compare this machine's clock with the Hub's; raises OSError where it cannot be asked."""
    request = urllib.request.Request(f"{endpoint}/api/models?limit=1", method="GET")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=CLOCK_TIMEOUT) as answer:  # noqa: S310
            said = answer.headers.get("Date")
    except urllib.error.HTTPError as refused:
        said = refused.headers.get("Date")
    theirs = parsedate_to_datetime(said) if said else datetime.now(UTC)
    off = (datetime.now(UTC) - theirs).total_seconds()
    if abs(off) > CLOCK_SECONDS:
        return Check(
            name="clock",
            status="warn",
            message=f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the Hub's",
            hint="let the machine set its clock by the network (NTP)",
        )  # fmt: skip
    return Check(name="clock", status="ok", message="as the Hub's")


def _watching(chosen: settings.Settings) -> Iterator[Check]:
    if not chosen.watch:
        yield Check(
            name="watch", status="warn", message="no rules, so nothing is watched", hint="add a [[watch]] rule"
        )
    for rule in chosen.watch:
        everybody = not (rule.authors or rule.search or rule.tags)
        yield Check(
            name=f"watch {rule.name}",
            status="warn" if everybody else "ok",
            message=_in_words(rule),
            hint="this rule lists the whole Hub; set authors, search or tags" if everybody else None,
        )


def _in_words(rule: settings.WatchRule) -> str:
    parts = [
        f"repos of {', '.join(rule.authors)}" if rule.authors else "repos of anybody",
        f"matching {', '.join(rule.search)}" if rule.search else "",
        f"tagged {' and '.join(rule.tags)}" if rule.tags else "",
        f"unchanged for {rule.min_age_hours} h" if rule.min_age_hours else "",
        f"up to {rule.max_gigabytes} GB" if rule.max_gigabytes else "",
        f"allowed by {', '.join(rule.allow)}" if rule.allow != ("*",) else "",
        f"not {', '.join(rule.deny)}" if rule.deny else "",
        f"licensed {', '.join(rule.licences)}" if rule.licences else "under any licence",
    ]
    return ", ".join(part for part in parts if part)


def _hub(chosen: settings.Settings) -> Iterator[Check]:
    from hubbot.hub.client import default_hub  # noqa: PLC0415 - the Hub's client reads the environment on import

    hub = default_hub()
    try:
        account = hub.whoami()
    except TokenRejected as error:
        yield Check(name="hub", status="warn", message=f"{hub.endpoint}: {error.message}", hint=error.hint)
        account = None
    except HubbotError as error:
        yield Check(name="hub", status="fail", message=f"{hub.endpoint}: {error.message}", hint=error.hint)
        account = None
    if account:
        yield from _account(hub.endpoint, account, chosen)
        yield _guarded("clock", lambda: _clock(hub.endpoint))
    if not chosen.org:
        yield Check(name="org", status="warn", message="not set, so nothing is published", hint="set `org`")
    elif account and chosen.org not in {account.name, *account.orgs}:
        yield Check(
            name="org", status="fail", message=f"{account.name} is no member of {chosen.org}",
            hint="use a token of a member, or set another `org`",
        )  # fmt: skip
    else:
        yield Check(name="org", status="ok", message=f"publishing as {chosen.org}")


def _account(endpoint: str, account: "Account", chosen: settings.Settings) -> Iterator[Check]:
    message = f"{endpoint} as {account.name} ({account.role})"
    if account.role == "read" and chosen.org:
        yield Check(
            name="hub", status="fail", message=f"{message}: the token may not write, so nothing can be published",
            hint="make a token with the role write, or fine-grained with write access to the organisation's repos",
        )  # fmt: skip
    else:
        yield Check(name="hub", status="ok", message=message)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except HubbotError as error:
        return Check(name=name, status="fail", message=str(error), hint=error.hint)
    except OSError as error:
        return Check(name=name, status="fail", message=str(error), hint="check the folder's rights")
