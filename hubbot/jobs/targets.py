"""Where the variants of a job are published, and whether they may be: asked before the work, not after it.

It reads the Hub and the database and changes neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.checkpoints import Checkpoint, Repo
from hubbot.errors import NeedsHuman, NotOurs, TokenRejected
from hubbot.hub.client import Hub
from hubbot.hub.repo_states import RepoState
from hubbot.lifecycle import Job, State
from hubbot.settings import Settings
from hubbot.steps import publish
from hubbot.store.queue import Queue, Selection
from hubbot.store.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The repo of one variant; `state` and `mark` are what the Hub has there, None where that is nothing yet."""

    variant: str
    repo_id: str
    state: RepoState | None
    mark: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets of the jobs of one bot."""

    settings: Settings
    hub: Hub
    results: Results
    queue: Queue

    def name(self, job: Job, variant: str) -> str:
        """Return the repo id for a variant, the one it has already where its source moved to another owner.

        Raises what publish.target_id raises.
        """
        wanted = publish.target_id(self.settings.org, self.settings.repo_name, job.repo, variant)
        if "{owner}" not in self.settings.repo_name:
            return wanted
        former = self._former_source(job)
        return former.get(variant, wanted)

    def check(self, job: Job) -> list[Target]:
        """Return the target of every variant, with what is there.

        Raises NeedsHuman where no org is set or a name is too long, TokenRejected where the token may not write
        there, NotOurs where a name is somebody else's or another source's.
        """
        names = {variant: self.name(job, variant) for variant in job.variants}
        self.hub.require_token()
        org = str(self.settings.org)
        account = self.hub.whoami()
        if not account.may_write(org):
            raise TokenRejected(
                f"the token of {account.name} may not make repos under {org}",
                where="settings, org",
                hint=f"use a token with write access to {org}, or set another org; then `hubbot retry`",
            )
        return [self._checked(job, variant, repo_id) for variant, repo_id in names.items()]

    def _checked(self, job: Job, variant: str, repo_id: str) -> Target:
        source = Repo(id=job.repo, revision=job.revision)
        state = self.hub.state(repo_id)
        if state is None:
            self._refuse_taken(job, repo_id)
            return Target(variant=variant, repo_id=repo_id, state=None, mark=None)
        if not set(state.files) - publish.KEPT_REMOTE:
            publish.refuse_empty(state, begun=self.begun(job, variant))
            return Target(variant=variant, repo_id=repo_id, state=state, mark=None)
        mark = publish.own_mark(self.hub, repo_id, source, variant, state)
        return Target(variant=variant, repo_id=repo_id, state=state, mark=mark)

    def begun(self, job: Job, variant: str) -> bool:
        """Say whether this job has begun to make the variant's repo."""
        return self.results.get(job.id, "begun", variant) is not None

    def note_begun(self, job: Job, variant: str, repo_id: str) -> None:
        """Note that this job begins to make the variant's repo: if it is stopped, the empty repo is its own."""
        self.results.put(job.id, "begun", {"repo": repo_id}, variant)

    def _refuse_taken(self, job: Job, repo_id: str) -> None:
        """Raise NotOurs where the name is another source's, published though gone now, or of an open job's.

        Of two open jobs the earlier one has the name.
        """
        for item in self.results.publications_to(repo_id):
            if item.source_repo != job.repo and self.hub.present_name(item.source_repo) not in {None, job.repo}:
                raise NotOurs(
                    f"the name belongs to what was made of {item.source_repo}",
                    where=repo_id,
                    hint="two sources share a name: set repo_name so that it holds {owner}",
                )
        for other in self._namesakes(job):
            if repo_id in {self.name(other, variant) for variant in other.variants}:
                raise NotOurs(
                    f"two sources share a name: job {other.id} makes it of {other.repo}",
                    where=repo_id,
                    hint="set repo_name so that it holds {owner}, or cancel that job; then `hubbot retry`",
                )

    def _namesakes(self, job: Job) -> list[Job]:
        """Return the jobs that came before this one and are open, of other sources with the same name."""
        alike = Selection(states=(State.WAITING, State.RUNNING), pattern=f"*/{job.repo.rpartition('/')[2]}")
        found = [self.queue.job(number) for number in self.queue.select(alike) if not 0 < job.id <= number]
        return [
            other
            for other in found
            if other.repo != job.repo and self.hub.present_name(other.repo) not in {None, job.repo}
        ]

    def _former_source(self, job: Job) -> dict[str, str]:
        """Return by variant where the source was published under its former name; empty where it had none."""
        name = job.repo.rpartition("/")[2]
        found: dict[str, str] = {}
        for item in self.results.publications():
            other = item.source_repo
            if other != job.repo and other.rpartition("/")[2] == name and self.hub.present_name(other) == job.repo:
                found.setdefault(item.variant, item.target_repo)
        return found


def refuse_without_licence(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise NeedsHuman where nobody knows under which terms the source may be published."""
    if checkpoint.licences:
        return
    if checkpoint.card_problem is not None:
        raise NeedsHuman(
            f"the card's metadata cannot be read, so the licence is unknown: {checkpoint.card_problem}",
            where=f"{checkpoint.repo.id}, README.md",
            hint="ask the source's owner to mend the card, then `hubbot retry`",
        )
    if settings.without_licence == "park":
        raise NeedsHuman(
            "the source states no licence",
            where=f"{checkpoint.repo.id}, README.md",
            hint='ask its owner; the setting without_licence = "other" publishes it as of another licence',
        )
