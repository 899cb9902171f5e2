"""The pictures of published variants that this machine has kept: which there are, and their bytes."""

import re
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from hubbot.finishing import PICTURES
from hubbot.settings import Settings
from hubbot.web.site import Site

NAMES = tuple(Path(name).name for name in PICTURES)
WORDS = {
    "variants.png": "Size and KL divergence of all variants",
    "layers.png": "Drift of the hidden states, layer by layer",
    "experts.png": "How often each expert of each layer was chosen",
}
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def path_of(settings: Settings, repo_id: str, name: str) -> Path | None:
    """Return where a kept picture is, None where there is none, or the names are not those of a picture."""
    if not _REPO.fullmatch(repo_id) or ".." in repo_id or name not in NAMES:
        return None
    path = settings.pictures / repo_id / name
    return path if path.is_file() else None


def of_model(settings: Settings, repo_ids: Sequence[str]) -> list[dict[str, str]]:
    """Return the pictures of a model's repos (address, words, repo), the one of all variants first and once."""
    found = []
    for name in NAMES:
        kept = [repo_id for repo_id in repo_ids if path_of(settings, repo_id, name)]
        shown = kept[:1] if name == NAMES[0] else kept
        found += [{"address": f"/pictures/{one}/{name}", "words": WORDS[name], "repo": one} for one in shown]
    return found


def routes(site: Site) -> list[Route]:
    """Return the route of the pictures."""

    def picture(request: Request) -> Response:
        path = path_of(site.settings, request.path_params["repo"], request.path_params["name"])
        return PlainTextResponse("There is no such picture.\n", 404) if path is None else FileResponse(path)

    return [Route("/pictures/{repo:path}/{name}", picture)]
