"""catalog: the published part as a folder of pages."""

from pathlib import Path

from tests.cli.conftest import Shell
from tests.hub.embedded import ORG, Site, fresh


def test_it_writes_a_site_and_says_where(hubbot: Shell, tmp_path: Path) -> None:
    out = tmp_path / "site"
    ended = hubbot("catalog", "--out", str(out), "--json")
    assert ended.json == {"out": str(out), "models": 0}
    assert "0 models in 0 repos" in (out / "index.html").read_text(encoding="utf-8")
    assert f"0 models in {out}" in hubbot("catalog", "--out", str(out)).out
    assert hubbot("catalog", "--out", str(tmp_path)).code == 2


def test_it_is_pushed_as_a_static_space_in_one_commit_and_again_only_where_it_differs(
    hubbot: Shell, site: Site, tmp_path: Path
) -> None:
    out, space = tmp_path / "site", fresh(ORG)
    first = hubbot("catalog", "--out", str(out), "--publish", space, "--json").json["space"]
    assert first["url"] == f"{site.url}/spaces/{space}"
    api = site.api()
    files = set(api.list_repo_files(space, repo_type="space"))
    assert {"index.html", "layouts.html", "static/hubbot.css", "README.md"} <= files
    card = Path(api.hf_hub_download(space, "README.md", repo_type="space", local_dir=tmp_path / "card"))
    assert "sdk: static" in card.read_text()
    commits = len(api.list_repo_commits(space, repo_type="space"))
    assert hubbot("catalog", "--out", str(out), "--publish", space, "--json").json["space"] == first
    assert len(api.list_repo_commits(space, repo_type="space")) == commits


def test_a_space_of_somebody_elses_is_left_alone(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    space = fresh(ORG)
    site.api().create_repo(space, repo_type="space", space_sdk="static")
    ended = hubbot("catalog", "--out", str(tmp_path / "site"), "--publish", space, "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (4, "NotOurs")
