from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubbot.devhub.server import EmbeddedHub
from hubbot.devhub.wire_errors import WireError


def test_a_seeded_folder_is_a_repo_with_exactly_its_files(hub: EmbeddedHub, owner: HfApi, model: Path) -> None:
    hub.seed("Qwen/exact", model)
    files = owner.list_repo_files("Qwen/exact")
    assert files == ["README.md", "config.json", "model.safetensors", "notes/a b.txt"]
    owner.verify_repo_checksums("Qwen/exact", local_dir=model)


def test_seeding_the_same_content_again_makes_no_commit(hub: EmbeddedHub, owner: HfApi, model: Path) -> None:
    first = hub.seed("Qwen/twice", model)
    assert hub.seed("Qwen/twice", model) == first
    (model / "config.json").write_text("{}")
    assert hub.seed("Qwen/twice", model) != first
    assert len(owner.list_repo_commits("Qwen/twice")) == 2


def test_settings_change_without_a_commit(hub: EmbeddedHub, owner: HfApi, model: Path) -> None:
    first = hub.seed("Qwen/settings", model)
    assert hub.seed("Qwen/settings", model, gated=True) == first
    assert owner.model_info("Qwen/settings").gated == "auto"


def test_the_same_seed_at_the_same_date_has_the_same_sha(hub: EmbeddedHub, owner: HfApi, model: Path) -> None:
    when = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert hub.seed("Qwen/one", model, created_at=when) == hub.seed("Qwen/two", model, created_at=when)
    info = owner.model_info("Qwen/one")
    assert info.created_at == info.last_modified == when


@pytest.mark.parametrize("name", ["../escape", "a/../../b", "nobody", "a/b/c"])
def test_a_name_that_is_no_repo_name_is_refused(hub: EmbeddedHub, model: Path, name: str) -> None:
    with pytest.raises(WireError):
        hub.seed(name, model)
