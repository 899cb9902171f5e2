import json
from pathlib import Path

import numpy as np
import pytest

from hubbot.errors import ConfigUnresolved
from tests.checkpoints_on_disk import (
    answer,
    converted,
    edit_json,
    judged,
    look,
    planned,
    read_folder,
    relative,
    rewrite,
    safetensors,
    stock_model,
)
from tests.reference.checkpoints import case, write


def with_a_head(name: str, folder: Path, factor: float) -> Path:
    """A tied reference that stores its output layer too, `factor` times the embedding."""
    write(case(name), folder)
    stored = read_folder(folder)
    dtype, bits = stored["model.embed_tokens.weight"]
    stored["lm_head.weight"] = (dtype, (bits.view(np.float32) * np.float32(factor)).view(np.uint32))
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    return folder


@pytest.mark.parametrize("name", ["mixtral/tied/orig", "qwen3_moe/tied/hub", "granitemoe/tied/orig"])
def test_an_output_layer_that_is_the_embedding_once_more_is_left_out(name: str, tmp_path: Path) -> None:
    source = look(with_a_head(name, tmp_path / "source", 1.0))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    assert relative(answer(stock_model(made), case(name).ids), case(name).logits) < 1e-4
    assert judged(source, made).verdict == "approved"


@pytest.mark.parametrize("name", ["mixtral/tied/orig", "qwen3_moe/tied/hub", "granitemoe/tied/orig"])
def test_an_output_layer_of_its_own_under_a_config_that_ties_it_is_refused(name: str, tmp_path: Path) -> None:
    source = look(with_a_head(name, tmp_path / "source", 1.5))
    with pytest.raises(ConfigUnresolved, match=r"'lm_head\.weight' holds other numbers"):
        converted(source, tmp_path / "out", "fp32")
    assert not (tmp_path / "out" / "fp32").exists()


TWICE = ["deepseek_v3/tied/orig", "phimoe/tied/orig", "qwen2_moe/tied/orig"]


@pytest.mark.parametrize("name", TWICE)
def test_a_class_with_an_output_layer_of_its_own_gets_the_embedding_twice(name: str, tmp_path: Path) -> None:
    source = look(write(case(name), tmp_path / "source"))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    stored = read_folder(made)
    assert np.array_equal(stored["lm_head.weight"][1], stored["model.embed_tokens.weight"][1])
    assert relative(answer(stock_model(made), case(name).ids), case(name).logits) < 1e-4
    report = judged(source, made)
    assert report.verdict == "approved"
    told = [finding.reason for finding in report.findings if finding.check == "cover"]
    assert told[0].endswith("; model.embed_tokens.weight also as the tied output layer")


def test_a_plan_says_which_move_is_a_second_use_and_the_layout_why(tmp_path: Path) -> None:
    source = look(write(case("deepseek_v3/tied/orig"), tmp_path / "source"))
    copies = [move for move in planned(source, "4bit").moves if move.is_copy]
    assert [(move.output, move.sources, move.role) for move in copies] == [
        ("lm_head.weight", ("model.embed_tokens.weight",), "lm_head")
    ]
    assert any("the embedding is written twice" in told for told in source.layout.evidence)


def test_a_written_output_layer_that_is_not_the_tied_embedding_is_refused(tmp_path: Path) -> None:
    source = look(write(case("deepseek_v3/tied/orig"), tmp_path / "source"))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    stored = read_folder(made)
    stored["lm_head.weight"][1][5, 7] ^= 1 << 20
    rewrite(made, stored)
    failed = {(finding.gate, finding.subject) for finding in judged(source, made).failures}
    assert ("values", "lm_head.weight") in failed


@pytest.mark.parametrize(("name", "said"), [("nemotron_h/orig", "nemotron_h"), ("dbrx/orig", "dbrx")])
def test_what_transformers_never_ties_is_refused_where_the_config_says_so(
    name: str, said: str, tmp_path: Path
) -> None:
    folder = write(case(name), tmp_path / "source")
    edit_json(folder / "config.json", tie_word_embeddings=True)
    with pytest.raises(ConfigUnresolved, match=f"tie_word_embeddings = True, which mlx-lm's {said} class"):
        look(folder)


def test_a_config_that_ties_what_was_never_tied_is_refused(tmp_path: Path) -> None:
    folder = write(case("qwen3_moe/orig"), tmp_path / "source")
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    with pytest.raises(ConfigUnresolved, match="tie_word_embeddings = True"):
        converted(look(folder), tmp_path / "out", "4bit")
