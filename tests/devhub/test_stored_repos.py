from __future__ import annotations

from pathlib import Path

from hubbot.devhub.stored_objects import Address, Repo, new_commit
from hubbot.devhub.stored_repos import Repos

A, B, C = (Address("models", "ns", name) for name in "abc")


def _repo(address: Address, **refs: dict[str, str]) -> Repo:
    return Repo(address=address, oid="1", created_at="t", **refs)  # type: ignore[arg-type]


def test_a_repo_is_found_by_its_address_until_it_is_removed(tmp_path: Path) -> None:
    repos = Repos(tmp_path)
    assert repos.find(A) is None
    repos.save(_repo(A))
    assert repos.find(A) == _repo(A)
    assert [repo.address for repo in repos.every("models")] == [A]
    repos.remove(A)
    assert repos.find(A) is None


def test_every_kind_of_ref_resolves_and_the_unknown_does_not(tmp_path: Path) -> None:
    repos = Repos(tmp_path)
    commit = new_commit(parent=None, author="a", title="t", message="", date="d", tree={})
    repos.add_commit(A, commit)
    sha = commit.sha
    repo = repos.save(_repo(A, branches={"main": sha}, tags={"v1": sha}, pulls={"refs/pr/1": sha}))
    for revision in ("main", "refs/heads/main", "v1", "refs/tags/v1", "refs/pr/1", sha):
        assert repos.resolve(repo, revision) == sha
    for revision in ("nope", "f" * 40, "", "refs/pr/2", "../main"):
        assert repos.resolve(repo, revision) is None


def test_old_names_lead_to_the_present_one_even_around_a_circle(tmp_path: Path) -> None:
    repos = Repos(tmp_path)
    repos.save(_repo(A))
    moved = repos.move(_repo(A), B)
    assert repos.moved_to(A) == B
    moved = repos.move(moved, C)
    assert repos.moved_to(A) == C
    repos.move(moved, A)
    assert repos.moved_to(B) == A
    repos.remove(A)
    assert repos.moved_to(B) is None
