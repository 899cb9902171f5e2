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
    read_folder,
    relative,
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


def test_a_config_that_ties_what_was_never_tied_is_refused(tmp_path: Path) -> None:
    folder = write(case("qwen3_moe/orig"), tmp_path / "source")
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    with pytest.raises(ConfigUnresolved, match="tie_word_embeddings = True"):
        converted(look(folder), tmp_path / "out", "4bit")
