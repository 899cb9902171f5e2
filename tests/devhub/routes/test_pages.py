from __future__ import annotations

from pathlib import Path

import httpx
from huggingface_hub import HfApi

from hubbot.devhub.server import EmbeddedHub


def test_the_front_page_lists_public_repos_only(
    browser: httpx.Client, owner: HfApi, seeded: str, repo: str
) -> None:
    owner.update_repo_settings(repo, private=True)
    page = browser.get("/").text
    assert f'href="/{seeded}"' in page
    assert repo not in page


def test_a_repos_page_shows_card_files_and_history(browser: httpx.Client, owner: HfApi, seeded: str) -> None:
    page = browser.get(f"/{seeded}")
    sha = owner.model_info(seeded).sha
    assert "<h1>A model</h1>" in page.text
    assert f"/{seeded}/resolve/{sha}/notes/a%20b.txt" in page.text
    assert "<script" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert browser.get(f"/{seeded}/resolve/{sha}/notes/a%20b.txt").text == "a note"


def test_a_gated_repos_page_shows_no_card(browser: httpx.Client, owner: HfApi, seeded: str) -> None:
    owner.update_repo_settings(seeded, gated="auto")
    page = browser.get(f"/{seeded}").text
    assert "<h1>A model</h1>" not in page
    assert "model.safetensors" in page


def test_names_and_metadata_cannot_bring_html(browser: httpx.Client, hub: EmbeddedHub, model: Path) -> None:
    (model / "<b>.txt").write_text("")
    (model / "README.md").write_text("---\ntags: ['<i>']\nlicense: '<u>'\n---\n<em>")
    hub.seed("elsewhere/markup", model, message="<s>")
    page = browser.get("/elsewhere/markup").text
    for markup in ("<b>", "<i>", "<u>", "<em>", "<s>"):
        assert markup not in page


def test_a_commits_page_lists_its_changes(browser: httpx.Client, owner: HfApi, repo: str) -> None:
    done = owner.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    page = browser.get(done.commit_url)
    assert "a.txt" in page.text
    assert "added" in page.text
    assert browser.get(f"/{repo}/commit/main").status_code == 404


def test_a_collections_page_links_its_repos(browser: httpx.Client, owner: HfApi, seeded: str) -> None:
    made = owner.create_collection("On a page")
    owner.add_collection_item(made.slug, seeded, "model")
    assert f'href="/{seeded}"' in browser.get(made.url).text
    assert "On a page" in browser.get("/").text


def test_the_stylesheet_is_served(browser: httpx.Client) -> None:
    assert browser.get("/assets/hub.css").headers["content-type"].startswith("text/css")


def test_a_blob_address_leads_to_the_file(browser: httpx.Client, seeded: str) -> None:
    assert (
        browser.get(f"/{seeded}/blob/main/config.json").headers["location"].endswith("/resolve/main/config.json")
    )
