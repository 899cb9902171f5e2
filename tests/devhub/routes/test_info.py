from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RevisionNotFoundError


def test_a_model_tells_what_its_files_say(owner: HfApi, seeded: str) -> None:
    info = owner.model_info(seeded, files_metadata=True)
    assert (info.library_name, info.pipeline_tag) == ("mlx", "text-generation")
    assert info.tags is not None
    assert "base_model:quantized:Qwen/Qwen3-30B-A3B" in info.tags
    assert info.safetensors is not None
    assert info.safetensors.total == 256
    assert info.siblings is not None
    weights = {sibling.rfilename: sibling for sibling in info.siblings}["model.safetensors"]
    assert weights.lfs is not None
    assert weights.size == weights.lfs.size


def test_expand_brings_the_base_models_and_the_storage(owner: HfApi, seeded: str) -> None:
    info = owner.model_info(seeded, expand=["baseModels", "usedStorage"])
    assert info.base_models is not None
    assert info.used_storage
    assert info.sha is None


def test_a_commit_sha_is_a_revision_and_an_unknown_one_is_not(owner: HfApi, seeded: str) -> None:
    sha = owner.model_info(seeded).sha
    assert owner.model_info(seeded, revision=sha).sha == sha
    with pytest.raises(RevisionNotFoundError):
        owner.model_info(seeded, revision="f" * 40)


def test_the_security_status_is_there_when_asked(owner: HfApi, seeded: str) -> None:
    assert owner.model_info(seeded, securityStatus=True).security_repo_status == {
        "scansDone": True,
        "filesWithIssues": [],
    }
