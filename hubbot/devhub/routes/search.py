"""Finding repos: the listing with its filters, orders and pages, and the tags there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import account_of, hub_of
from hubbot.devhub.accounts import may_see
from hubbot.devhub.descriptions import describe, select_listed, unknown_expansions
from hubbot.devhub.paging import asked_for, page_of, switched_on
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.wire_errors import bad_request

_SORTS = ("createdAt", "downloads", "lastModified", "likes", "trendingScore")
_PAGE = 1000
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

About = Mapping[str, Any]


async def list_repos(request: Request) -> JSONResponse:
    """GET /api/{kind}. Raises a 400 WireError."""
    expand = asked_for(request, "expand")
    if unknown := unknown_expansions(expand):
        raise bad_request(f"Invalid expand: {', '.join(unknown)}")
    wanted = _conditions(request)
    found = [about for about in _visible(request) if all(condition(about) for condition in wanted)]
    hub = hub_of(request)
    listed = [
        select_listed(
            about,
            expand,
            full=switched_on(request, "full"),
            config=switched_on(request, "config"),
            card=switched_on(request, "cardData"),
        )
        for about in _sorted(found, request.query_params.get("sort", "trendingScore"))
    ]
    return page_of(request, listed, base_url=hub.base_url, most=_PAGE)


async def list_tags(request: Request) -> JSONResponse:
    """GET /api/models-tags-by-type: every tag in use, by what it says."""
    by_type: dict[str, list[dict[str, str]]] = {"pipeline_tag": [], "library": [], "license": [], "other": []}
    request.path_params["kind"] = "models"
    for tag, kind in sorted(_tag_types(request).items()):
        by_type[kind].append({"id": tag, "label": tag, "type": kind})
    return JSONResponse(by_type)


def _visible(request: Request) -> list[About]:
    hub, account = hub_of(request), account_of(request)
    repos = [repo for repo in hub.repos.every(request.path_params["kind"]) if may_see(account, repo)]
    heads = [hub.head(repo) for repo in repos]
    return [describe(repo, head, hub.metadata(head)) for repo, head in zip(repos, heads, strict=True)]


def _sorted(found: list[About], key: str) -> list[About]:
    if key not in _SORTS:
        raise bad_request(f"Invalid sort: {key}")
    # Newest first among equals, and the id last, so that pages never overlap.
    ordered = sorted(found, key=lambda about: str(about["id"]))
    return sorted(ordered, key=lambda about: (about[key], about["createdAt"]), reverse=True)


def _conditions(request: Request) -> list[Callable[[About], bool]]:
    query = request.query_params
    tags = {tag for text in asked_for(request, "filter") for tag in text.split(",")}
    apps = asked_for(request, "apps")
    conditions: list[Callable[[About], bool]] = [
        lambda about: tags <= set(about["tags"]),
        lambda about: all(app == about.get("library_name") or app in about["tags"] for app in apps),
    ]
    if author := query.get("author"):
        conditions.append(lambda about: about["author"] == author)
    if words := query.get("search", "").lower().split():
        conditions.append(lambda about: all(word in about["id"].lower() for word in words))
    if task := query.get("pipeline_tag"):
        conditions.append(lambda about: about.get("pipeline_tag") == task)
    if "gated" in query:
        conditions.append(lambda about: bool(about["gated"]) == switched_on(request, "gated"))
    if "num_parameters" in query:
        conditions.append(_size_condition(query["num_parameters"]))
    if "inference" in query or "inference_provider" in query:
        conditions.append(lambda _about: False)  # nothing is served here
    return conditions


def _size_condition(text: str) -> Callable[[About], bool]:
    bounds = dict(re.findall(r"(min|max):(\d+(?:\.\d+)?[KMBT]?)(?:,|$)", text))
    if not bounds:
        raise bad_request(f"Invalid num_parameters: {text}")
    least = _number(bounds.get("min", "0"))
    most = _number(bounds["max"]) if "max" in bounds else float("inf")
    return lambda about: "safetensors" in about and least <= about["safetensors"]["total"] <= most


def _number(text: str) -> float:
    digits = text.rstrip("KMBT")
    return float(digits) * _UNITS[text[len(digits) :]]


def _tag_types(request: Request) -> dict[str, str]:
    types: dict[str, str] = {}
    for about in _visible(request):
        for tag in about["tags"]:
            types[tag] = "license" if tag.startswith("license:") else types.get(tag, "other")
        for key, kind in (("pipeline_tag", "pipeline_tag"), ("library_name", "library")):
            if key in about:
                types[about[key]] = kind
    return types


routes = [
    Route("/api/models-tags-by-type", list_tags),
    Route("/api/{kind:kind}", list_repos),
]
