"""Kimi end to end: a tokenizer of tiktoken and code becomes a file, and inspect says at once where it cannot."""

import json
from pathlib import Path
from typing import Any

import mlx_lm
import pytest

from hubbot.conversion.verdict import Verdict, verdict_of
from hubbot.errors import NeedsHuman
from hubbot.folders import Folder
from hubbot.steps.fetch import wanted
from tests.catalogue.tokenizers.kimi_files import CODE, COUNT, TEXT, files
from tests.checkpoints_on_disk import converted, judged, look, planned
from tests.reference.checkpoints import case, write


def kimi(folder: Path, name: str = "kimi_k2/orig", code: str = CODE) -> Path:
    write(case(name), folder)
    for file, data in files(code=code).items():
        (folder / file).write_bytes(data)
    return folder


def inspected(folder: Path) -> Verdict:
    return verdict_of(Folder(folder), extensions=True, variants=[], working_bytes=1 << 30)


@pytest.mark.parametrize("name", ["kimi_k2/orig", "kimi_linear/orig"])
def test_stock_mlx_lm_loads_the_rewritten_tokenizer(name: str, tmp_path: Path) -> None:
    source = look(kimi(tmp_path / "source", name))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    assert not {path.name for path in made.iterdir()} & {"tiktoken.model", "tokenization_kimi.py"}
    _, tokenizer, *_ = mlx_lm.load(str(made))
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("<|im_end|>") == [COUNT + 2]
    assert tokenizer.bos_token == "[BOS]"
    checks = ("side files", "rewritten tokenizer")
    found = [(one.check, one.status) for one in judged(source, made).findings if one.check in checks]
    assert found == [(check, "pass") for check in checks]


def test_inspect_and_plan_say_at_once_that_a_tokenizer_cannot_be_had(tmp_path: Path) -> None:
    folder = kimi(tmp_path / "source", code="class TikTokenTokenizer:\n    pass\n")
    verdict = inspected(folder)
    record = verdict.record
    assert (record["verdict"], verdict.exit_code) == ("needs-human", 4)
    assert "tokenization_kimi.py cuts text by another pattern" in json.dumps(record["evidence"])
    with pytest.raises(NeedsHuman, match="another pattern"):
        planned(look(folder), "fp32")
    (folder / "tokenizer.json").write_text("{}")
    assert inspected(folder).record["verdict"] == "convertible"


def test_vocabulary_and_code_are_fetched_to_be_read(tmp_path: Path) -> None:
    folder = kimi(tmp_path / "source")
    (folder / "modeling_kimi.py").write_text("evil")
    names = {file.path for file in wanted(look(folder).checkpoint)}
    assert {"tiktoken.model", "tokenization_kimi.py", "tokenizer_config.json"} <= names
    assert "modeling_kimi.py" not in names


def test_a_checkpoint_remembers_what_is_wrong_with_its_tokenizer(tmp_path: Path) -> None:
    (folder := kimi(tmp_path / "source")).joinpath("tiktoken.model").write_bytes(b"YQ== 0\n")
    checkpoint = look(folder).checkpoint
    again = type(checkpoint).from_json(json.loads(json.dumps(checkpoint.to_json())))
    assert again.tokenizer_fault == checkpoint.tokenizer_fault is not None
    assert "256 bytes" in checkpoint.tokenizer_fault[0]


def test_templates_and_tekken_go_along(tmp_path: Path) -> None:
    folder = write(case("qwen3_moe/hub"), tmp_path / "source")
    kept: dict[str, Any] = {
        "additional_chat_templates/tool_use.jinja": b"{{ 1 }}",
        "chat_template.jinja": b"{{ 2 }}",
        "chat_template.json": b'{"chat_template": ""}',
        "tekken.json": b"{}",
    }
    left = {"additional_chat_templates/run.py": b"x", "more/additional_chat_templates/x.jinja": b"x"}
    for name, data in {**kept, **left}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    source = look(folder)
    made = converted(source, tmp_path / "out", "bf16")["bf16"]
    assert {name: (made / name).read_bytes() for name in kept} == kept
    assert not any((made / name).exists() for name in left)
    assert set(kept) <= {file["path"] for file in json.loads((made / "hubbot.json").read_text())["files"]}
    assert {f.status for f in judged(source, made).findings if f.check in {"side files", "files"}} == {"pass"}
    (made / "additional_chat_templates" / "tool_use.jinja").write_bytes(b"other")
    assert "fail" in {f.status for f in judged(source, made).findings if f.check == "side files"}
