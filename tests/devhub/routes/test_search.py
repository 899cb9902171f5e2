from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi

from hubbot.devhub.server import EmbeddedHub


@pytest.fixture(scope="module")
def shelf(hub: EmbeddedHub, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = [("old-moe", "moe", 1), ("new-moe", "moe", 3), ("dense", "dense", 2)]
    for name, tag, month in rows:
        folder: Path = tmp_path_factory.mktemp(name)
        (folder / "README.md").write_text(f"---\npipeline_tag: text-generation\ntags: [{tag}]\n---\n")
        (folder / "config.json").write_text('{"model_type": "mixtral"}')
        hub.seed(f"lab/{name}", folder, gated=name == "dense", created_at=datetime(2026, month, 1, tzinfo=UTC))


def _ids(api: HfApi, **question: object) -> list[str]:
    return [model.id for model in api.list_models(author="lab", **question)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("shelf")
def test_models_are_found_by_tag_words_task_and_gate(anonymous: HfApi) -> None:
    assert sorted(_ids(anonymous, filter="moe")) == ["lab/new-moe", "lab/old-moe"]
    assert _ids(anonymous, filter=["moe", "dense"]) == []
    assert _ids(anonymous, search="NEW") == ["lab/new-moe"]
    assert len(_ids(anonymous, pipeline_tag="text-generation")) == 3
    assert _ids(anonymous, gated=True) == ["lab/dense"]
    assert "lab/dense" not in _ids(anonymous, gated=False)
    assert _ids(anonymous, num_parameters="min:1B") == []
    assert list(anonymous.list_models(author="nobody")) == []


@pytest.mark.usefixtures("shelf")
def test_the_latest_come_first_and_a_limit_cuts(anonymous: HfApi) -> None:
    newest = ["lab/new-moe", "lab/dense", "lab/old-moe"]
    assert _ids(anonymous, sort="created_at") == newest
    assert _ids(anonymous, sort="last_modified", limit=2) == newest[:2]


@pytest.mark.usefixtures("shelf")
def test_a_listing_brings_what_was_asked_for(anonymous: HfApi) -> None:
    (model,) = anonymous.list_models(author="lab", search="new", expand=["sha", "config", "gated"])
    assert model.sha
    assert model.config == {"model_type": "mixtral"}
    assert model.tags is None
    (model,) = anonymous.list_models(author="lab", search="new", full=True, cardData=True)
    assert model.siblings
    assert model.card_data


@pytest.mark.usefixtures("shelf")
def test_tags_in_use_are_listed_by_type(anonymous: HfApi) -> None:
    tags = anonymous.get_model_tags()
    assert "text-generation" in [tag["id"] for tag in tags["pipeline_tag"]]
    assert "moe" in [tag["id"] for tag in tags["other"]]


@pytest.mark.parametrize("query", ["sort=size", "expand=nothing", "num_parameters=many"])
def test_a_question_that_makes_no_sense_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get(f"/api/models?{query}").status_code == 400
