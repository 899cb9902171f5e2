"""The demo ends as promised, whatever the user's environment says."""

import json
import os
import shutil
from pathlib import Path

import pytest

from hubbot import demo, settings
from hubbot.demo import ORG, TOKEN, accounts, isolate, settings_of
from hubbot.devhub.demo_repos import DEMO_ROWS
from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import State
from tests.story.demos import ELSEWHERE, HOSTILE, Demo, end_state, hostile, published_files, run, shared

# Whichever test comes first waits for the whole demo.
pytestmark = pytest.mark.timeout(600)
VARIANTS = ("bf16", "8bit", "4bit")


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return shared(tmp_path_factory)


def test_it_exits_0_with_one_json_document_of_the_promised_counts(ended: Demo) -> None:
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)
    assert set(record) == {"published", "skipped", "parked", "counts", "hub_dir", "seconds"}
    assert record["counts"] == {"published": 4, "skipped": 1, "parked": 1}
    assert record["hub_dir"] == str(ended.folder / "hub")


def test_every_repo_came_to_its_end_with_a_reason_where_it_was_not_published(ended: Demo) -> None:
    record = ended.record
    expected = {row.repo_id: row.expected for row in DEMO_ROWS}
    published = [repo for repo, outcome in expected.items() if outcome == "published"]
    assert {(item["source"], item["variant"]) for item in record["published"]} == {
        (repo, variant) for repo in published for variant in VARIANTS
    }
    for item in record["published"]:
        assert item["repo"] == f"{ORG}/{item['source'].partition('/')[2]}-MLX-{item['variant']}"
    for outcome in ("skipped", "parked"):
        (item,) = record[outcome]
        assert expected[item["repo"]] == outcome
        assert len(item["reason"]) > 10
    assert "expert" in record["parked"][0]["reason"]


def test_the_users_environment_changed_nothing(ended: Demo) -> None:
    assert all(item["repo"].startswith(f"{ORG}/") for item in ended.record["published"])
    said = ended.out + ended.err
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HUBBOT_ORG"):
        assert HOSTILE[name] not in said
    assert not (ended.folder.parent / ELSEWHERE).exists()


def test_everything_lies_in_the_demos_folder(ended: Demo) -> None:
    assert {path.name for path in ended.folder.iterdir()} <= {
        "data",
        "repos",
        "hf-home",
        "hub",
        "hubbot.toml",
        "stories.txt",
    }


def test_what_is_published_is_public_tagged_and_complete(ended: Demo) -> None:
    state = end_state(ended.folder)
    assert set(state) == {item["repo"] for item in ended.record["published"]}
    for name, repo in state.items():
        assert not repo["private"], name
        assert repo["tags"] == [True], name
        assert {"config.json", "model.safetensors", "tokenizer.json", "LICENSE"} <= set(repo["files"]), name
        assert not [path for path in repo["files"] if path.endswith((".py", ".bin"))], name
        assert repo["mark"]["verified"] is True, name


def test_no_published_file_knows_this_machine_or_a_token(ended: Demo) -> None:
    secrets = [str(ended.folder), str(Path.home()), str(settings.__file__), TOKEN, HOSTILE["HF_TOKEN"]]
    with published_files(ended.folder) as repos:
        for name, found in repos.items():
            for path, file in found["paths"].items():
                content = file.read_bytes()
                for secret in secrets:
                    assert secret.encode() not in content, f"{name}, {path}"


def test_the_books_agree_with_the_hub(ended: Demo) -> None:
    chosen = settings.Settings(data_dir=ended.folder / "data")
    with open_records(chosen) as records, published_files(ended.folder) as repos:
        assert {p.target_repo: p.target_revision for p in records.results.publications()} == {
            name: found["head"] for name, found in repos.items()
        }
        counts = {state: count for state, count in records.queue.counts().items() if count}
        assert counts == {State.PUBLISHED: 4, State.SKIPPED: 1, State.PARKED: 1}
        tries = [attempt for job in records.queue.jobs() for attempt in records.results.attempts(job.id)]
    assert {attempt.outcome for attempt in tries} == {"done", "published", "skipped", "parked"}


def test_run_again_it_finds_everything_done_and_changes_nothing(ended: Demo, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(ended.folder, folder)
    again = run(folder)
    assert again.code == 0, again.err
    kept = ("published", "skipped", "parked", "counts")
    assert {key: again.record[key] for key in kept} == {key: ended.record[key] for key in kept}
    with published_files(folder) as after, published_files(ended.folder) as before:
        assert {name: found["head"] for name, found in after.items()} == {
            name: found["head"] for name, found in before.items()
        }


# Its parts


def test_isolation_leaves_nothing_of_the_users_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    misleading = hostile(tmp_path / ELSEWHERE)
    os.environ |= misleading
    isolate(tmp_path, "http://127.0.0.1:1234")
    left = {name: os.environ[name] for name in misleading if name in os.environ}
    assert left == {
        "HF_ENDPOINT": "http://127.0.0.1:1234",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf-home"),
        "HUBBOT_CONFIG": str(tmp_path / "hubbot.toml"),
    }
    chosen = settings_of(tmp_path)
    assert (chosen.org, chosen.data_dir, chosen.variants) == (ORG, tmp_path / "data", VARIANTS)
    assert (chosen.database_url, len(chosen.watch)) == (None, 1)


def test_a_folder_with_odd_letters_makes_a_settings_file_that_reads_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Übung mit {Klammern} und 'Strichen'"
    folder.mkdir()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    isolate(folder, "http://127.0.0.1:1234")
    assert settings_of(folder).data_dir == folder / "data"


def test_the_demos_account_may_publish_for_its_organisation_only() -> None:
    account = accounts()[TOKEN]
    assert account.owns(ORG)
    assert not account.owns("fables")
    assert account.name == demo.USER
