"""catalog: the published part as a folder of pages."""

from pathlib import Path

from tests.cli.conftest import Shell


def test_it_writes_a_site_and_says_where(hubbot: Shell, tmp_path: Path) -> None:
    out = tmp_path / "site"
    ended = hubbot("catalog", "--out", str(out), "--json")
    assert ended.json == {"out": str(out), "models": 0}
    assert "0 models in 0 repos" in (out / "index.html").read_text(encoding="utf-8")
    assert f"0 models in {out}" in hubbot("catalog", "--out", str(out)).out
    assert hubbot("catalog", "--out", str(tmp_path)).code == 2
