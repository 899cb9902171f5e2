"""Every setting, its default, one docstring each: TOML file first, then HUBBOT_* environment over it.

The Hub's own settings (HF_TOKEN, HF_ENDPOINT, HF_HOME) are read by its client, never stored here.
"""

import os
import re
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from hubbot.catalogue.variants.named_variants import DEFAULT_VARIANTS, VARIANTS
from hubbot.errors import WrongUsage
from hubbot.quiet_hours import QuietHours, parse

CONFIG_VARIABLE = "HUBBOT_CONFIG"
FILE_NAME = "hubbot.toml"
# No number of hours, gigabytes or days that anybody means is larger.
LARGEST = 1e7


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:100].lstrip(".-") or "hubbot"


def data_folder(system: str, home: Path) -> Path:
    """Return where hubbot keeps its data by default on `system` ("darwin", "linux")."""
    return home / ("Library/Application Support/hubbot" if system == "darwin" else ".local/share/hubbot")


class WatchRule(BaseModel):
    """One rule of what to watch; a repo must satisfy every condition of a rule that is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Names the rule in logs and remembers how far it has seen."""
    authors: tuple[str, ...] = ()
    """Users or organisations whose repos are listed."""
    search: tuple[str, ...] = ()
    """Words to search for in repo names."""
    tags: tuple[str, ...] = ()
    """Hub tags that a repo must carry, all of them."""
    min_age_hours: float = Field(default=0.0, ge=0)
    """Leave a repo alone until its last commit is this old; uploads come in many commits."""
    max_gigabytes: float | None = Field(default=None, gt=0)
    """Skip repos whose files are larger than this."""
    allow: tuple[str, ...] = ("*",)
    """Glob patterns of repo ids; at least one must match."""
    deny: tuple[str, ...] = ()
    """Glob patterns of repo ids; none may match."""
    licences: tuple[str, ...] = ()
    """Licence identifiers to accept; empty accepts any licence that the repo states."""
    max_per_owner: int | None = Field(default=None, ge=1)
    """Enqueue at most this many repos of one owner in 24 hours, the most wanted first; the others wait."""


class Settings(BaseSettings):
    """Everything that can be set; docs for each field below it."""

    model_config = SettingsConfigDict(
        env_prefix="HUBBOT_", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    data_dir: Path = Field(default_factory=lambda: data_folder(sys.platform, Path.home()))
    """Database, downloads and work in progress."""
    database_url: str | None = None
    """SQLAlchemy URL; the default is SQLite in data_dir."""
    org: str | None = None
    """The Hub user or organisation to publish under; without it nothing is published."""
    repo_name: str = "{name}-MLX-{variant}"
    """The published repo's name; {name} is the source's name, {owner} its owner, {variant} the variant."""
    without_licence: Literal["park", "other"] = "park"
    """What becomes of a source that states no licence: "park" it, or publish it as "other"."""
    homepage: str = ""
    """Web address of hubbot for the cards to link to; empty for none."""
    collection: str | None = "MLX conversions by hubbot"
    """Title of the collection that published repos join; empty for none."""
    variants: tuple[str, ...] = DEFAULT_VARIANTS
    """Variants to make of every checkpoint unless asked otherwise."""
    licences: tuple[str, ...] = ()
    """Licence identifiers to accept for any job; empty accepts any."""
    max_gigabytes: float | None = Field(default=None, gt=0)
    """Skip any checkpoint whose weights are larger than this."""
    watch: tuple[WatchRule, ...] = ()
    """Rules of what to watch; without any, nothing is watched."""
    watch_minutes: float = Field(default=30.0, gt=0)
    """Minutes between two looks at the Hub."""
    runner: str = Field(default_factory=_host_name)
    """Names this machine in the queue."""
    lease_seconds: float = Field(default=120.0, gt=0)
    """A job whose runner gives no sign of life for this long goes back to the queue."""
    max_attempts: int | None = Field(default=None, ge=1)
    """Attempts at one stage before a job parks; 6 by default."""
    memory_gigabytes: float | None = Field(default=None, gt=0)
    """Memory that a job may need; larger jobs wait for another runner. By default any job is taken,
    and a stage that holds more than nine tenths of the machine's memory is ended."""
    conversion_megabytes: float = Field(default=32.0, gt=0)
    """Memory that a conversion works in, beyond 230 MB of its own; more variants need a little more."""
    shard_gigabytes: float = Field(default=5.0, gt=0)
    """Largest weight file written."""
    free_source: bool = False
    """Release each downloaded shard as soon as the values gate has judged every output that was made from it."""
    extensions: bool = True
    """Convert families that run only with a model file of hubbot's own, which is published beside the weights."""
    text_only: bool = False
    """Leave out what a model sees with, also where mlx-vlm could run it beside the text that mlx-lm runs."""
    stage_hours: float = Field(default=12.0, gt=0)
    """A heavy stage that takes longer is stopped and tried again."""
    stall_minutes: float = Field(default=120.0, gt=0)
    """A heavy stage that tells of no progress for this long is stopped and tried again."""
    corpus: Path | None = None
    """Text file on which variants are compared with the unquantized model; the default ships with hubbot."""
    behaviour_tokens: int | None = Field(default=None, ge=16)
    """Tokens of that text to read: 4096 by default, without a GPU 2048, and fewer where time is short."""
    behaviour_minutes: float = Field(default=120.0, gt=0)
    """Time limit of that comparison for one variant; beyond it the gate is recorded as not run."""
    smoke_seconds: float = Field(default=600.0, gt=0)
    """Time limit of one smoke test."""
    smoke_tokens: int = Field(default=64, ge=1)
    """Tokens that a smoke test generates per prompt."""
    smoke_hosts: tuple[str, ...] = ()
    """Addresses over which an artifact larger than this machine's memory speaks, this machine's own first.
    The data folder, hubbot and its Python stand at the same paths on each, and ssh needs no password."""
    quiet_hours: tuple[str, ...] = ()
    """Hours of this machine's time in which no stage is begun, such as "09:00-18:00"; what runs ends its stage."""
    audits_per_day: int = Field(default=4, ge=0, le=1440)
    """Published repos that the bot judges again per day, while no job waits; what fails is made anew. 0: none."""
    keep_days: float = Field(default=7.0, ge=0, le=36500)
    """Days that the work folder of a finished job is kept."""
    notify: SecretStr | None = None
    """Where to tell of failures, outages and the day: the URL of a webhook (Slack, Discord), or a file."""
    web_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach the dashboard, beside localhost; others are refused."""
    webhook_secret: SecretStr | None = None
    """Secret of the Hub's webhook, which makes the bot look at once; without it webhooks are off."""

    @field_validator("variants")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in VARIANTS]
        if unknown or not names:
            raise ValueError(f"unknown variants {unknown}; known are {' '.join(VARIANTS)}")
        return names

    @field_validator("smoke_hosts")
    @classmethod
    def _addresses(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            ip_address(host)
        if len(hosts) == 1:
            raise ValueError("smoke_hosts names this machine and at least one more")
        loopback = [ip_address(host).is_loopback for host in hosts]
        if any(loopback) and not all(loopback):
            raise ValueError("smoke_hosts names each machine by the address at which the others reach it")
        return hosts

    @field_validator("repo_name")
    @classmethod
    def _names_both(cls, pattern: str) -> str:
        try:
            fields = [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]
        except ValueError as error:
            raise ValueError(f"repo_name is no pattern: {error}") from error
        known = ["name", "variant", *(["owner"] if "owner" in fields else [])]
        if sorted(fields) != sorted(known) or any(f"{{{field}}}" not in pattern for field in known):
            raise ValueError(
                "repo_name must contain {name} and {variant}, {owner} if wanted, once each, and no other"
            )
        if not re.fullmatch(r"[A-Za-z0-9._-]*", re.sub(r"\{(?:name|variant|owner)\}", "", pattern)):
            raise ValueError("repo_name may hold letters, digits, and . _ - beside {name}, {variant} and {owner}")
        if "--" in pattern or ".." in pattern:
            raise ValueError("repo_name may hold neither -- nor .., which the Hub does not allow")
        return pattern

    @field_validator("homepage")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        if address and not re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]{1,300}", address):
            raise ValueError("homepage must be a web address, as https://example.org/hubbot")
        return address

    @field_validator("runner")
    @classmethod
    def _is_a_name(cls, runner: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", runner):
            raise ValueError(f"{runner!r} is no name: letters, digits, and . _ - are allowed")
        return runner

    @field_validator("notify")
    @classmethod
    def _is_a_place(cls, notify: SecretStr | None) -> SecretStr | None:
        if notify is not None and not re.match(r"https?://[^/\s]+/|/|~/", notify.get_secret_value()):
            raise ValueError("notify must be the https:// address of a webhook, or the whole path of a file")
        return notify

    @field_validator("quiet_hours")
    @classmethod
    def _are_hours(cls, ranges: tuple[str, ...]) -> tuple[str, ...]:
        parse(ranges)
        return ranges

    @field_validator("data_dir", "corpus")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        for name, value in self:
            if isinstance(value, float) and not value <= LARGEST:
                raise ValueError(f"{name} is {value}, which is more than {LARGEST:.0f}")
        return self

    @property
    def database(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.database_file}"

    @property
    def database_file(self) -> Path:
        """Return the SQLite file that is used where no `database_url` is set."""
        return self.data_dir / "hubbot.db"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what no log may hold: the notices' address, the webhook's secret, the database's password."""
        named = [self.notify, self.webhook_secret]
        found = [one.get_secret_value() for one in named if one is not None]
        password = re.search(r"://[^/@\s]*:([^/@\s]+)@", self.database_url or "")
        return (*found, *(password.groups() if password else ()))

    @property
    def quiet(self) -> QuietHours:
        """Return the hours in which no stage is begun."""
        return parse(self.quiet_hours)

    @property
    def pictures(self) -> Path:
        """Return the folder of the pictures that pages show, by published repo."""
        return self.data_dir / "pictures"

    @property
    def working_bytes(self) -> int:
        """Return the memory that a conversion works in, in bytes."""
        return int(self.conversion_megabytes * (1 << 20))

    @property
    def shard_bytes(self) -> int:
        """Return the largest weight file in bytes."""
        return int(self.shard_gigabytes * 1e9)

    @property
    def memory_bytes(self) -> int | None:
        """Return the memory limit of a job in bytes."""
        return None if self.memory_gigabytes is None else int(self.memory_gigabytes * 1e9)

    @property
    def child_bytes(self) -> int:
        """Return the memory that a heavy stage may hold, in bytes: by default nine tenths of the machine's."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self.memory_bytes or machine * 9 // 10

    def smoke_request(self, folder: Path) -> dict[str, Any]:
        """Return what a smoke test of an artifact folder is asked, as plain data for a child process."""
        return {
            "folder": str(folder),
            "max_tokens": self.smoke_tokens,
            "hosts": list(self.smoke_hosts),
            "memory_bytes": self.child_bytes,
            "seconds": self.smoke_seconds * 0.9,
        }

    @property
    def examination(self) -> dict[str, Any]:
        """Return how far behaviour is examined, as plain data for a child process."""
        return {
            "corpus": str(self.corpus.expanduser().resolve()) if self.corpus else None,
            "tokens": self.behaviour_tokens,
            "seconds": self.behaviour_minutes * 60,
            "memory_bytes": self.memory_bytes,
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment over the TOML file, and nothing else."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=settings_file())


def settings_file() -> Path:
    """Return the TOML file in force: $HUBBOT_CONFIG, or hubbot.toml in the default data folder."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else data_folder(sys.platform, Path.home()) / FILE_NAME


def load(**overrides: Any) -> Settings:
    """Return the settings in force, or raise WrongUsage naming the file, the key and what is wrong with it."""
    file = settings_file()
    if os.environ.get(CONFIG_VARIABLE) and not file.is_file():
        raise WrongUsage("the settings file does not exist", where=str(file), hint=f"mend ${CONFIG_VARIABLE}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise WrongUsage(
            f"setting {key}: {first['msg']}",
            where=str(file),
            hint="`hubbot doctor` explains the settings",
        ) from error
    except (ValueError, OSError) as error:
        hint = "it begins with a byte order mark: save it as UTF-8 without one" if _has_mark(file) else None
        raise WrongUsage(f"the settings file cannot be read: {error}", where=str(file), hint=hint) from error


def _has_mark(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(3) == b"\xef\xbb\xbf"
    except OSError:
        return False
