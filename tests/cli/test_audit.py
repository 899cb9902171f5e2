"""audit: the gates again on what is published."""

from hubbot.jobs.open_records import open_records
from hubbot.settings import load
from tests.cli.conftest import Shell
from tests.hub.embedded import Site
from tests.store.recorded import audits


def publish(variant: str, version: str, model_type: str | None = None) -> None:
    with open_records(load()) as records:
        records.results.record_publication(
            source_repo="fables/Gone",
            source_revision="a" * 40,
            variant=variant,
            target_repo=f"mlx-moe/Gone-MLX-{variant}",
            target_revision="b" * 40,
            bits_per_weight=4.5,
            size_bytes=1_500_000_000,
            report={"verdict": "approved", "versions": {"hubbot": "1.0", "mlx-lm": version}},
            model_type=model_type,
        )


def test_nothing_published_is_nothing_to_audit(hubbot: Shell) -> None:
    ended = hubbot("audit", "--json")
    assert (ended.code, ended.json) == (0, {"chosen": [], "audited": []})
    assert "0 audited" in hubbot("audit").out


def test_a_dry_run_lists_what_was_made_with_a_version_and_touches_nothing(hubbot: Shell) -> None:
    publish("4bit", "0.32.1")
    publish("8bit", "0.32.2")
    chosen = hubbot("audit", "--mlx-lm", "0.32.1", "--dry-run", "--json").json["chosen"]
    assert [item["repo"] for item in chosen] == ["mlx-moe/Gone-MLX-4bit"]
    assert chosen[0]["made_with"] == {"hubbot": "1.0", "mlx-lm": "0.32.1"}
    shown = hubbot("audit", "--dry-run").out
    assert "2 would be audited" in shown
    with open_records(load()) as records:
        assert audits(records.results) == []


def test_a_source_that_cannot_be_read_is_told_and_recorded_and_refuses_nothing(hubbot: Shell, site: Site) -> None:
    publish("4bit", "0.32.1")
    ended = hubbot("audit", "--json")
    assert ended.code == 0
    (found,) = ended.json["audited"]
    assert (found["verdict"], found["job_id"]) == ("not-judged", None)
    assert "source" in found["reason"]
    with open_records(load()) as records:
        (audit,) = audits(records.results)
    assert audit.verdict == "not-judged"
    assert "not-judged" in hubbot("audit").out
    assert site.url


def test_a_remake_judges_nothing_and_says_of_every_repo_why_it_stays(hubbot: Shell, site: Site) -> None:
    publish("4bit", "0.32.1")
    (found,) = hubbot("audit", "--remake", "--json").json["remade"]
    assert (found["repo"], found["is_due"], found["job_id"]) == ("mlx-moe/Gone-MLX-4bit", False, None)
    assert "gone" in found["reason"]
    assert "0 of 1 would be made anew" in hubbot("audit", "--remake", "--dry-run").out
    with open_records(load()) as records:
        assert (audits(records.results), records.queue.jobs()) == ([], [])
    assert site.url


def test_known_bad_chooses_what_a_wrong_version_made_and_says_what_it_does_wrong(hubbot: Shell) -> None:
    publish("4bit", "0.31.3", "lfm2_moe")
    publish("8bit", "0.32.2", "lfm2_moe")
    publish("bf16", "0.31.3", "qwen3_moe")
    (item,) = hubbot("audit", "--known-bad", "--dry-run", "--json").json["chosen"]
    assert item["repo"] == "mlx-moe/Gone-MLX-4bit"
    assert "https://github.com/ml-explore/mlx-lm/issues/1883" in item["known_bad"][0]
    assert "1 would be audited" in hubbot("audit", "--known-bad", "--dry-run").out
