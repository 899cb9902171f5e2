import base64

import pytest

from hubbot.catalogue import tokenizers
from hubbot.checkpoints import FileInfo
from hubbot.errors import NeedsHuman

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def check(stored: dict[str, bytes]) -> None:
    files = [FileInfo(path=name, size=len(data)) for name, data in stored.items()]
    tokenizers.check(files, {"model_type": "mixtral"}, stored.__getitem__)


@pytest.mark.parametrize(
    "names",
    [
        ["tokenizer.json"],
        ["tokenizer.json", "tokenization_odd.py", "odd.tiktoken", "vocab.json"],
        ["tokenizer.model"],
        ["tekken.json"],
        ["vocab.txt"],
        ["vocab.json", "merges.txt"],
        ["config.json"],
    ],
)
def test_files_that_make_a_tokenizer_pass_and_so_does_a_repo_without_any(names: list[str]) -> None:
    check(dict.fromkeys(names, b"x"))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["vocab.json"], "vocab.json needs merges.txt"),
        (["tokenization_odd.py"], r"only as code.*tokenization_odd\.py"),
        (["src/my_tokenizer.py"], r"only as code.*src/my_tokenizer\.py"),
        (["qwen.tiktoken"], r"only as code.*qwen\.tiktoken"),
        (["hy.tiktoken"], r"hy\.tiktoken needs tokenization_hy\.py"),
        (["tiktoken.model"], r"tiktoken\.model stands without its code.*model type mixtral"),
        (["tiktoken.model", "tokenization_kimi.py"], r"tokenization_kimi\.py defines no class TikTokenTokenizer"),
    ],
)
def test_what_is_missing_for_a_tokenizer_is_named(names: list[str], told: str) -> None:
    vocabulary = b"".join(b"%s %d\n" % (base64.b64encode(bytes([i])), i) for i in range(256))
    with pytest.raises(NeedsHuman, match=told):
        check({name: vocabulary if name == "tiktoken.model" else b"x = 1" for name in names})


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tokenizer_config.json", "tekken.json"])
def test_a_git_lfs_pointer_is_called_by_its_name(name: str) -> None:
    with pytest.raises(NeedsHuman, match="Git LFS pointer") as caught:
        check({"tokenizer.json": b"{}", name: POINTER})
    assert caught.value.where == name
    assert "git lfs pull" in str(caught.value.hint)


def test_a_large_file_is_not_read_to_look_for_a_pointer() -> None:
    def read(_name: str) -> bytes:
        raise AssertionError("nothing has to be read")

    tokenizers.check([FileInfo(path="tokenizer.json", size=1 << 20)], {}, read)
