"""What SOURCE and ARTIFACT may be."""

from pathlib import Path

import pytest

from hubbot.cli.arguments import artifact_folder, is_folder, open_source
from hubbot.errors import RepoMissing, WrongUsage
from hubbot.folders import Folder
from hubbot.hub.remote import RemoteFiles
from tests.hub.embedded import Site

FILES = {"config.json": b"{}", "modeling.py": b"import os", "pytorch_model.bin": b"pickle", "model.gguf": b"g"}


def test_what_is_spelled_like_a_path_or_is_a_folder_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fables" / "Fox").mkdir(parents=True)
    for source in ("fables/Fox", "./x", "../x", "/x", "~/x", "."):
        assert is_folder(source), source
    for source in ("fables/Owl", "Fox"):
        assert not is_folder(source), source


def test_a_folder_is_opened_without_the_hub_and_takes_no_revision(tmp_path: Path, machine: Path) -> None:
    assert isinstance(open_source(str(tmp_path), None), Folder)
    with pytest.raises(WrongUsage, match="--revision goes with a repo id"):
        open_source(str(tmp_path), "main")
    with pytest.raises(RepoMissing, match="no such folder"):
        open_source(str(tmp_path / "absent"), None)


def test_what_is_neither_folder_nor_repo_id_is_not_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for source in ("a/b/c", "file"):
        with pytest.raises(RepoMissing, match="neither a folder nor a repo id"):
            open_source(source, None)


def test_a_repo_is_opened_at_its_newest_commit_or_the_one_named(site: Site, tmp_path: Path) -> None:
    repo = site.seed(FILES, tmp_path)
    sha = site.client().head(repo)
    for revision in (None, "main", sha):
        files = open_source(repo, revision)
        assert isinstance(files, RemoteFiles)
        assert files.repo.revision == sha


def test_an_artifact_on_the_hub_comes_without_code_and_pickles(site: Site, tmp_path: Path) -> None:
    repo = site.seed(FILES, tmp_path / "seed")
    folder = artifact_folder(repo, tmp_path / "staging", lambda *_: None)
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"config.json"}


def test_an_artifact_folder_is_used_where_it_is(tmp_path: Path) -> None:
    assert artifact_folder(str(tmp_path), tmp_path / "staging", lambda *_: None) == tmp_path
    with pytest.raises(RepoMissing):
        artifact_folder(str(tmp_path / "absent"), tmp_path / "staging", lambda *_: None)
