import pytest

from hubbot.runtime.blas_threads import one_thread, thread_count


def test_blas_takes_one_thread_where_that_is_wanted_and_as_many_as_before_afterwards() -> None:
    before = thread_count()
    if before is None:
        pytest.skip("numpy's BLAS here is not the OpenBLAS of its wheels")
    with one_thread(wanted=False):
        assert thread_count() == before
    with one_thread(wanted=True):
        assert thread_count() == 1
    assert thread_count() == before
