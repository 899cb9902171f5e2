"""An older revision of a source never replaces a newer one, by position in the Hub's list of commits."""

from pathlib import Path

import pytest

from hubbot.checkpoints import Repo
from hubbot.errors import Superseded
from hubbot.steps.publish import publish
from tests.hub.embedded import LFS_WARNING, ORG, Site, calm, fresh, running, write
from tests.steps.test_publish import artifact_files, checkpoint, judged

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)


def test_an_older_revision_is_refused_unless_a_person_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm(monkeypatch, tmp_path)
    with running(tmp_path / "hub") as site:
        source, target = fresh("fables"), fresh(ORG)
        revisions = [
            site.embedded.seed(source, write({"config.json": text}, tmp_path / text.decode()))
            for text in (b"first", b"second", b"third")
        ]

        def put(revision: str, *, allow_older: bool = False) -> None:
            of = Repo(id=source, revision=revision)
            folder = write(artifact_files(revision.encode(), of), tmp_path / "out" / revision)
            publish(
                judged(folder, of).approve(), checkpoint(of, gated=False, private=False), hub=site.client(),
                repo_id=target, collection=None, allow_older=allow_older,
            )  # fmt: skip

        put(revisions[1])
        before = site.client().head(target)
        for older in (revisions[0], "f" * 40):
            with pytest.raises(Superseded, match="does not come after"):
                put(older)
        assert site.client().head(target) == before
        put(revisions[2])
        put(revisions[0], allow_older=True)
        mark = site.client().read_file(target, "hubbot.json", 1000) or b""
        assert revisions[0].encode() in mark
        assert moved(site, target)


def moved(site: Site, target: str) -> bool:
    return len(site.api().list_repo_commits(target)) > 3
