"""The static site: every link leads to a file of it, and nothing but what is published is in it."""

import re
from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.web.static_site import write
from tests.web.conftest import Bench


def links(page: Path) -> list[str]:
    found = re.findall(r'(?:href|src|action)="([^"#]+)"', page.read_text(encoding="utf-8"))
    return [target for target in found if not target.startswith("https://hub.example/")]


def test_every_link_leads_to_a_file_of_the_site(bench: Bench, tmp_path: Path) -> None:
    for name in ("fables/Fox", "fables/Owl.v2", "lonely"):
        bench.publish(name, "4bit", kl_mean=0.05, model_type="mixtral")
    bench.publish("fables/Fox", "8bit")
    bench.job("fables/Secret")
    out = tmp_path / "site"
    assert write(bench.site, out) == 3
    pages = sorted(out.rglob("*.html"))
    assert [page.relative_to(out).as_posix() for page in pages] == [
        "index.html", "layouts.html", "published/fables/Fox.html", "published/fables/Owl.v2.html",
        "published/lonely.html",
    ]  # fmt: skip
    for page in pages:
        assert links(page)
        for target in links(page):
            assert not target.startswith("/")
            assert (page.parent / target).resolve().is_relative_to(out)
            assert (page.parent / target).is_file(), (page, target)
        text = page.read_text(encoding="utf-8")
        assert "Secret" not in text
        for absent in ("<script", "<form", "ago</time>", 'name="form_token"'):
            assert absent not in text
    assert "https://hub.example/mlx/Fox-MLX-8bit" in (out / "published/fables/Fox.html").read_text(
        encoding="utf-8"
    )


def test_a_new_site_replaces_the_old_one_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "site"
    bench.publish("fables/Fox", "4bit")
    write(bench.site, out)
    (out / "published" / "fables" / "Gone.html").write_text("old")
    assert write(bench.site, out) == 1
    assert not (out / "published" / "fables" / "Gone.html").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("somebody's")
    with pytest.raises(WrongUsage, match="something else"):
        write(bench.site, other)
    assert (other / "index.html").read_text() == "somebody's"


@pytest.mark.parametrize("name", ["../../evil", "fables/../evil", "/etc/evil", "a/b/c", "fables/<b>"])
def test_a_name_that_is_no_repo_id_makes_no_file(name: str, bench: Bench, tmp_path: Path) -> None:
    bench.publish(name, "4bit")
    out = tmp_path / "site"
    assert write(bench.site, out) == 0
    assert not (out / "published").exists()
    assert not list(tmp_path.rglob("evil*"))
