"""The artifact is loaded as a user loads it, tokenizer included; each fault is one that loaded cleanly before."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from hubbot.artifacts import Finding
from hubbot.checks.structure.user_load import check_user_load
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop

BASES = sorted({made.model_type: made.name for made in CONVERTIBLE if made.form == "orig"}.values())


def findings(folder: Path) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_user_load(folder)}


def give_a_tokenizer(folder: Path) -> None:
    Tokenizer(WordLevel({f"w{number}": number for number in range(8)}, unk_token="w0")).save(
        str(folder / "tokenizer.json")
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"unk_token": "w0"}))


@pytest.mark.parametrize("name", BASES)
def test_what_is_converted_loads_as_users_load_it_in_every_family(
    workshop: Workshop, name: str, tmp_path: Path
) -> None:
    folder = workshop.copy(name, "fp32", tmp_path / "made")
    found = findings(folder)
    assert found["config loads"].status in {"pass", "not-applicable"}
    assert found["user load"].status == "not-applicable"
    assert "no tokenizer" in found["user load"].reason
    give_a_tokenizer(folder)
    if found["config loads"].status == "pass":
        assert findings(folder)["user load"].status == "pass"


def test_a_null_that_transformers_does_not_take_fails(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("nemotron_h/orig", "fp32", tmp_path / "made")
    give_a_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_types": None}))
    found = findings(folder)
    assert found["config loads"].status == "fail"
    assert "layers_block_type" in str(found["config loads"].measured)


@pytest.mark.parametrize("content", ["{}", "not json", '{"model": {"type": "No such"}}'])
def test_a_tokenizer_that_cannot_be_read_fails(workshop: Workshop, tmp_path: Path, content: str) -> None:
    folder = workshop.copy("qwen3_moe/orig", "fp32", tmp_path / "made")
    give_a_tokenizer(folder)
    (folder / "tokenizer.json").write_text(content)
    assert findings(folder)["user load"].status == "fail"


def test_a_tokenizer_that_is_code_of_the_repo_is_neither_run_nor_asked_for(
    workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy("qwen3_moe/orig", "fp32", tmp_path / "made")
    give_a_tokenizer(folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass T: pass\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", None]}, "tokenizer_class": "T"})
    )
    check_user_load(folder)
    list(check_user_load(folder))
    assert not (tmp_path / "ran").exists()
