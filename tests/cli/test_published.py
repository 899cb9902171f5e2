"""published: what is on the Hub by hubbot's own books."""

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.settings import load
from tests.cli.conftest import Shell


def test_an_empty_book_is_an_empty_list(hubbot: Shell) -> None:
    assert hubbot("published", "--json").json == {"published": []}
    assert "0 published" in hubbot("published").out


def test_what_is_published_is_listed_newest_first(hubbot: Shell) -> None:
    with open_records(load()) as records:
        for variant in ("8bit", "4bit"):
            records.results.record_publication(
                source_repo="fables/Fox",
                source_revision="a" * 40,
                variant=variant,
                target_repo=f"mlx-moe/Fox-MLX-{variant}",
                target_revision="b" * 40,
                bits_per_weight=4.5,
                size_bytes=1_500_000_000,
                report={"verdict": "approved"},
            )
    ended = hubbot("published", "--json")
    assert [item["target_repo"] for item in ended.json["published"]] == [
        "mlx-moe/Fox-MLX-4bit",
        "mlx-moe/Fox-MLX-8bit",
    ]
    first = ended.json["published"][0]
    assert (first["source_repo"], first["variant"], first["bits_per_weight"]) == ("fables/Fox", "4bit", 4.5)
    table = hubbot("published").out
    for word in ("2 published", "fables/Fox@aaaaaaaa", "4.50", "1.50 GB"):
        assert word in table


def record(variant: str, size: int, kl: float | None, revision: str = "a" * 40, repo: str = "Fox") -> None:
    with open_records(load()) as records:
        records.results.record_publication(
            source_repo=f"fables/{repo}",
            source_revision=revision,
            variant=variant,
            target_repo=f"mlx-moe/{repo}-MLX-{variant}",
            target_revision="b" * 40,
            bits_per_weight=4.5,
            size_bytes=size,
            report={"url": f"https://hub.example/mlx-moe/{repo}-MLX-{variant}"},
            model_type="qwen3_moe",
            kl_mean=kl,
            memory_bytes=size + 10**9,
        )


def names(hubbot: Shell, *arguments: str) -> list[str]:
    listed = hubbot("published", "--json", *arguments).json["published"]
    return [item["target_repo"].partition("/")[2] for item in listed]


def test_it_is_filtered_by_name_variant_type_mac_and_quality(hubbot: Shell) -> None:
    record("8bit", 32 * 10**9, 0.001)
    record("4bit", 17 * 10**9, 0.04)
    record("4bit", 10**9, 0.3, repo="Owl")
    assert names(hubbot, "owl") == ["Owl-MLX-4bit"]
    assert names(hubbot, "-v", "8bit") == ["Fox-MLX-8bit"]
    assert names(hubbot, "--mac", "32") == ["Owl-MLX-4bit", "Fox-MLX-4bit"]
    assert names(hubbot, "--mac", "32", "--quality", "good") == ["Fox-MLX-4bit"]
    assert names(hubbot, "--type", "mixtral") == []
    assert hubbot("published", "--quality", "perfect").code == 2
    assert "good (0.0400)" in hubbot("published").out


def test_a_repo_counts_once_unless_asked_for_all(hubbot: Shell) -> None:
    for revision in ("a" * 40, "c" * 40):
        record("4bit", 10**9, None, revision)
    assert len(names(hubbot)) == 1
    assert len(names(hubbot, "--all")) == 2
    assert hubbot("published", "--json").json["published"][0]["source_revision"] == "c" * 40


def test_the_newest_that_is_like_that_is_opened(hubbot: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert hubbot("published", "--open").code == 2
    record("8bit", 10**9, None)
    record("4bit", 10**9, None)
    assert hubbot("published", "-v", "8bit", "--open").code == 0
    assert opened == ["https://hub.example/mlx-moe/Fox-MLX-8bit"]
