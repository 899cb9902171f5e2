"""The published part as files: the dashboard's pages of models and layouts, with relative links and no script.

It works from a folder as well as from any web server, and holds only what is published.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from hubbot.errors import WrongUsage
from hubbot.web import contents, pictures
from hubbot.web.site import Site
from hubbot.web.templating import STATIC, render

INDEX = "index.html"
ASSETS = ("hubbot.css", "icon.svg")
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def write(site: Site, out: Path) -> int:
    """Write the site into folder `out`, over an older one, and return the number of models.

    Raises WrongUsage where `out` holds something else than such a site.
    """
    if out.exists() and any(out.iterdir()) and not (out / "static" / ASSETS[0]).is_file():
        raise WrongUsage("the folder holds something else", where=str(out), hint="choose an empty folder")
    models = [model for model in _models(site) if _REPO_ID.fullmatch(model["source_repo"])]
    pages = [(INDEX, "published.html", "/published", _index(site, models))]
    pages += [("layouts.html", "layouts.html", "/layouts", contents.layouts(site, {}))]
    for model in models:
        repo = model["source_repo"]
        pages.append((f"published/{repo}.html", "model.html", "/published", contents.model(site, repo)))
    for folder in ("published", "pictures"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for path, template, section, content in pages:
        frame = {"section": section, "static": True, "version": "", "signed_in": False, "form_token": ""}
        values = {**frame, **content}
        file = out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render(template, values, now=site.clock(), link=relative(path)), encoding="utf-8")
        for picture in content.get("pictures", ()):
            _copy_picture(site, picture["address"], out)
    (out / "static").mkdir(exist_ok=True)
    for name in ASSETS:
        shutil.copyfile(STATIC / name, out / "static" / name)
    return len(models)


def _copy_picture(site: Site, address: str, out: Path) -> None:
    repo_id, _, name = address.removeprefix("/pictures/").rpartition("/")
    kept = pictures.path_of(site.settings, repo_id, name)
    if kept is not None:
        (out / "pictures" / repo_id).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, out / "pictures" / repo_id / name)


def relative(page: str) -> Callable[..., str]:
    """Return the function that links from the file `page` to the file of an address of the dashboard."""
    up = "../" * (len(PurePosixPath(page).parts) - 1)

    def link(path: str, **query: object) -> str:
        del query
        if path in {"/", "/published"}:
            return f"{up}{INDEX}"
        if path.startswith(("/static/", "/pictures/")):
            return up + path.removeprefix("/")
        return f"{up}{path.removeprefix('/')}.html"

    return link


def _models(site: Site) -> Iterator[dict[str, Any]]:
    page, pages = 1, 1
    while page <= pages:
        content = contents.published(site, {"page": str(page), "sort": "model", "order": "asc"})
        yield from content["models"]
        page, pages = page + 1, content["pages"]


def _index(site: Site, models: list[dict[str, Any]]) -> dict[str, Any]:
    content = contents.published(site, {"sort": "model", "order": "asc"})
    return {**content, "models": models, "page": 1, "pages": 1, "total": len(models)}
