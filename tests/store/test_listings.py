"""Listings: pages of jobs and published models, their order, filters and totals."""

import pytest
import sqlalchemy as sa

from hubbot.errors import UnknownLayout
from hubbot.lifecycle import Refused, State, advance
from hubbot.store.listings import PAGE_ROWS, SORTS, Listings, ModelQuery
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.store.conftest import Clock


@pytest.fixture
def listings(engine: sa.Engine) -> Listings:
    return Listings(engine)


def publish(
    results: Results, name: str, variant: str, *, size: int = 10, commit: str = "a", kl: float | None = None
) -> None:
    results.record_publication(
        source_repo=f"fables/{name}",
        source_revision=commit * 40,
        variant=variant,
        target_repo=f"mlx/{name}-MLX-{variant}",
        target_revision="b" * 40,
        bits_per_weight=4.5,
        size_bytes=size,
        report={},
        model_type="qwen3_moe" if name == "Fox" else "mixtral",
        kl_mean=kl,
    )


def enqueue(queue: Queue, repo: str, priority: int = 0) -> int:
    return queue.enqueue(repo, "a" * 40, ("4bit",), "4bit", requested_by="a test", priority=priority)[0].id


def park(queue: Queue) -> int:
    job = queue.claim("runner", 60)
    assert job is not None
    error = UnknownLayout("no row matches")
    assert queue.apply(job, advance(job, Refused(error=error), job.updated_at, lambda *_: None))
    return job.id


def test_jobs_come_a_page_at_a_time_the_newest_first(queue: Queue, listings: Listings) -> None:
    ids = [enqueue(queue, f"fables/Fox-{number}") for number in range(PAGE_ROWS + 3)]
    first, second = listings.jobs(), listings.jobs(page=2)
    assert [job.id for job in (*first.jobs, *second.jobs)] == ids[::-1]
    assert (first.total, second.total, listings.jobs(page=3).jobs) == (PAGE_ROWS + 3, PAGE_ROWS + 3, ())


def test_jobs_are_found_by_state_and_by_a_literal_part_of_the_name(queue: Queue, listings: Listings) -> None:
    parked = enqueue(queue, "fables/Fox_1")
    park(queue)
    enqueue(queue, "fables/FoxA1")
    assert [job.repo for job in listings.jobs(text="fox_").jobs] == ["fables/Fox_1"]
    assert [job.id for job in listings.jobs({State.PARKED}).jobs] == [parked]
    assert listings.jobs({State.FAILED}).total == 0
    assert [job.id for job in listings.needing_a_person()] == [parked]


def test_the_queue_is_in_the_order_of_the_work(queue: Queue, listings: Listings) -> None:
    first, second, urgent = (enqueue(queue, f"fables/{n}", p) for n, p in (("a", 0), ("b", 0), ("c", 5)))
    assert [job.id for job in listings.queue()] == [urgent, first, second]
    assert listings.running() == []
    queue.claim("runner", 60)
    assert [job.id for job in listings.running()] == [urgent]


def test_a_model_has_one_row_and_a_repo_counts_as_its_newest_publication(
    results: Results, listings: Listings, clock: Clock
) -> None:
    publish(results, "Fox", "4bit", size=40, kl=0.04)
    publish(results, "Fox", "8bit", size=80, kl=0.004)
    clock.forward(60)
    publish(results, "Fox", "4bit", size=44, commit="c", kl=0.05)
    publish(results, "Owl", "4bit", size=30)
    page = listings.models(ModelQuery())
    assert page.total == 2
    fox = next(model for model in page.models if model.source_repo == "fables/Fox")
    assert (fox.variants, fox.smallest, fox.largest, fox.kl_best) == (2, 44, 80, 0.004)
    assert [item.variant for item in listings.variants("fables/Fox")] == ["8bit", "4bit"]
    assert [item.bytes for item in listings.variants("fables/Fox")] == [80, 44]
    totals = listings.totals()
    assert (totals.models, totals.repos, totals.nbytes) == (2, 3, 154)
    assert (totals.variants, totals.model_types) == (("4bit", "8bit"), ("mixtral", "qwen3_moe"))


def test_models_are_filtered_by_name_type_and_variant(results: Results, listings: Listings) -> None:
    publish(results, "Fox", "4bit")
    publish(results, "Fox", "8bit")
    publish(results, "Owl", "4bit")

    def found(query: ModelQuery) -> list[str]:
        return [model.source_repo for model in listings.models(query).models]

    assert found(ModelQuery(text="OWL")) == ["fables/Owl"]
    assert found(ModelQuery(text="%")) == []
    assert found(ModelQuery(model_type="qwen3_moe")) == ["fables/Fox"]
    assert found(ModelQuery(variant="8bit")) == ["fables/Fox"]
    assert listings.models(ModelQuery(variant="8bit")).models[0].variants == 2


@pytest.mark.parametrize("sort", SORTS)
def test_models_are_sorted_by_any_column_and_what_is_unknown_comes_last(
    sort: str, results: Results, listings: Listings, clock: Clock
) -> None:
    publish(results, "Fox", "4bit", size=50, kl=0.01)
    publish(results, "Fox", "8bit", size=90)
    clock.forward(60)
    publish(results, "Owl", "4bit", size=20)
    up = [model.source_repo for model in listings.models(ModelQuery(sort=sort, descending=False)).models]
    down = [model.source_repo for model in listings.models(ModelQuery(sort=sort)).models]
    fox_first = {"model": True, "type": False, "variants": False, "smallest": False, "largest": False,
                 "quality": True, "published": True}[sort]  # fmt: skip
    assert up == (["fables/Fox", "fables/Owl"] if fox_first else ["fables/Owl", "fables/Fox"])
    assert down == (up if sort == "quality" else up[::-1])
