"""published: what is on the Hub by hubbot's own books."""

from hubbot.jobs.bot import open_records
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
