"""enqueue: the same repo, commit and variants are one job."""

import pytest

from tests.cli.conftest import FOX, Shell
from tests.hub.embedded import ORG, Site


def test_a_repo_is_enqueued_at_the_commit_it_has_now(hubbot: Shell, site: Site) -> None:
    ended = hubbot("enqueue", FOX, "-v", "4bit", "-v", "8bit", "--priority", "7", "--json")
    assert ended.code == 0
    job = ended.json
    assert job["created"] is True
    assert (job["repo"], job["revision"]) == (FOX, site.client().head(FOX))
    assert (job["variants"], job["priority"], job["state"], job["stage"]) == (
        ["4bit", "8bit"],
        7,
        "waiting",
        "inspect",
    )
    assert "lease" not in job


def test_said_twice_it_is_one_job(hubbot: Shell, site: Site) -> None:
    first, second = (hubbot("enqueue", FOX, "--json").json for _ in range(2))
    assert (first["created"], second["created"]) == (True, False)
    assert first["id"] == second["id"]
    turned = [
        hubbot("enqueue", FOX, "-v", a, "-v", b, "--json").json["id"]
        for a, b in (("4bit", "8bit"), ("8bit", "4bit"))
    ]
    assert turned[0] == turned[1] != first["id"]
    assert len(hubbot("jobs", "--json").json["jobs"]) == 2


def test_a_branch_and_its_commit_are_the_same_job(hubbot: Shell, site: Site) -> None:
    sha = site.client().head(FOX)
    ids = {hubbot("enqueue", FOX, "--revision", revision, "--json").json["id"] for revision in ("main", sha)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("enqueue", "fables/nothing"), 3, "RepoMissing"),
        (("enqueue", FOX, "--revision", "f" * 40), 3, "RepoMissing"),
        (("enqueue", FOX, "-v", "9bit"), 2, "WrongUsage"),
        (("enqueue", "not a repo id"), 2, "WrongUsage"),
    ],
)
def test_what_cannot_be_done_says_why(
    hubbot: Shell, site: Site, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    ended = hubbot(*arguments, "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (code, kind)
    assert hubbot("jobs", "--json").json == {"jobs": []}


def test_a_rehearsal_prints_everything_that_would_be_done_and_does_nothing(
    hubbot: Shell, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBOT_ORG", ORG)
    before = site.repos
    ended = hubbot("enqueue", FOX, "-v", "4bit", "-v", "8bit", "--dry-run", "--json")
    assert ended.code == 0
    steps = [(step["step"], step["repo"]) for step in ended.json["steps"]]
    assert steps[:5] == [(step, FOX) for step in ("fetch", "convert", "verify", "smoke", "card")]
    names = [f"{ORG}/{FOX.partition('/')[2]}-MLX-{variant}" for variant in ("4bit", "8bit")]
    assert steps[5:] == [(step, name) for name in names for step in ("publish", "tag", "collect")]
    assert site.repos == before
    assert hubbot("jobs", "--json").json["jobs"] == []


def test_a_rehearsal_is_refused_as_the_job_would_be(
    hubbot: Shell, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBOT_ORG", ORG)
    site.api().create_repo(f"{ORG}/{FOX.partition('/')[2]}-MLX-4bit")
    ended = hubbot("enqueue", FOX, "-v", "4bit", "--dry-run", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (4, "NotOurs")
