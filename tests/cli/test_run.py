"""run: works until nothing is left, with rules or without."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.story.bots import in_process


@pytest.mark.filterwarnings(LFS_WARNING)
def test_run_once_works_until_nothing_is_left(
    hubbot: Shell, site: Site, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(monkeypatch)
    rules.write_text(rules.read_text().replace('deny = ["*/Owl-*"]', 'allow = ["*/Fox-8x-MoE-fused", "*/Hare-*"]'))
    ended = hubbot("run", "--once", "--json")
    assert ended.code == 0
    counts = {state: count for state, count in ended.json["counts"].items() if count}
    assert counts == {"published": 1, "skipped": 1}
    assert "published" in ended.err
    listed = hubbot("published", "--json").json["published"]
    assert [item["target_repo"] for item in listed] == [f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"]


def test_run_without_rules_works_on_the_queue_and_says_so(hubbot: Shell, site: Site) -> None:
    hubbot("enqueue", "fables/Hare-dense")
    ended = hubbot("run", "--once")
    assert ended.code == 0
    assert "only the queue is worked on" in ended.err
    assert ended.out.strip() == "1 skipped"
