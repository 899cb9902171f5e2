import pytest

from hubbot.checkpoints import FileInfo
from hubbot.sources.pickle_files import is_pickled, pickled


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_what_torch_saved_is_pickled(name: str) -> None:
    assert is_pickled(name)


@pytest.mark.parametrize(
    "name", ["training_args.bin", "sub/pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model_x.bin"]
)
def test_other_files_are_not(name: str) -> None:
    assert not is_pickled(name)


def test_they_are_listed_in_their_order() -> None:
    names = ("pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin", "config.json")
    files = tuple(FileInfo(path=name, size=1) for name in names)
    assert pickled(files) == ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
