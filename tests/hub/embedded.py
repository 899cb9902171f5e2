"""The embedded Hub as the tests of everything above hub/ use it: three tokens, one organisation, no waiting."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, file_download
from huggingface_hub.utils import _http, disable_progress_bars

from hubbot.devhub.accounts import Account
from hubbot.devhub.faults import Faults
from hubbot.devhub.server import EmbeddedHub
from hubbot.hub.client import Hub
from hubbot.hub.repo_states import RemoteFile
from hubbot.hub.retries import Patience

ORG = "mlx-moe"
OWNER = "hf_OwnerOwnerOwner"
STRANGER = "hf_StrangerStranger"
ACCOUNTS = {OWNER: Account("keeper", (ORG,)), STRANGER: Account("somebody")}
# With xet off the client hands httpx2 its file as `data=`.
LFS_WARNING = "ignore:Use 'content=:DeprecationWarning"
# More bytes than any answer has: a cut that never happens, for passing requests by.
NEVER = 1 << 40
_NUMBERS = count(1)


def impatient(sleeps: list[float] | None = None, attempts: int = 4) -> Patience:
    """Asks as often as the real one and notes how long it would have slept."""
    return Patience(
        attempts=attempts, sleep=lambda seconds: sleeps.append(seconds) if sleeps is not None else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One running Hub."""

    embedded: EmbeddedHub
    faults: Faults

    @property
    def url(self) -> str:
        return self.embedded.url

    def client(self, token: str | None = OWNER, *, patience: Patience | None = None) -> Hub:
        return Hub(endpoint=self.url, token=token, patience=patience or impatient())

    def api(self, token: str = OWNER) -> HfApi:
        return HfApi(endpoint=self.url, token=token)

    def seed(self, files: dict[str, bytes], folder: Path, **settings: bool) -> str:
        """Put files on the Hub as a fresh repo of somebody's and return its id."""
        repo_id = fresh("fables")
        home = write(files, folder / repo_id)
        self.embedded.seed(repo_id, home, **settings)  # type: ignore[arg-type]
        return repo_id

    def tree(self, repo_id: str, token: str | None = OWNER) -> dict[str, RemoteFile]:
        """The files of a repo that is there."""
        state = self.client(token).state(repo_id)
        assert state is not None
        return dict(state.files)

    def is_private(self, repo_id: str) -> bool:
        return bool(self.api().model_info(repo_id).private)

    def differing(self, repo_id: str, folder: Path) -> list[str]:
        """The files whose checksum on the Hub is not that of the folder, and those missing on either side."""
        found = self.api().verify_repo_checksums(repo_id, local_dir=folder)
        names = {str(one["path"]) for one in found.mismatches} | {*found.missing_paths, *found.extra_paths}
        return sorted(name for name in names if not name.startswith("."))

    @property
    def repos(self) -> set[str]:
        """Every model repo that is there now."""
        return {repo.address.id for repo in self.embedded._hub.repos.every("models")}

    def keep_only(self, repos: set[str]) -> None:
        """Delete every other repo, as if it had never been there."""
        with self.embedded._hub.lock:
            for repo in [*self.embedded._hub.repos.every("models")]:
                if repo.address.id not in repos:
                    self.embedded._hub.repos.remove(repo.address)


def fresh(namespace: str) -> str:
    return f"{namespace}/repo-{next(_NUMBERS)}"


def write(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    faults = Faults()
    with EmbeddedHub(folder, accounts=ACCOUNTS, faults=faults) as embedded:
        yield Site(embedded=embedded, faults=faults)


def upload_over_lfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the client send large files as it does where xet is switched off."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def calm(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[float]:
    """Let the real client, with xet as by default, retry without sleeping and find no token of this machine.

    Returns the list that its pauses go to.
    """
    sleeps: list[float] = []
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "no-tokens"))
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=sleeps.append))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    disable_progress_bars()
    return sleeps
