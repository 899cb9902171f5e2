from pathlib import Path

import numpy as np
import pytest

from hubbot.checks.behaviour.baseline_cache import BaselineWriter, digest, find
from hubbot.checks.behaviour.divergence import score, summarise

LOGITS = [np.random.default_rng(seed).normal(0, 3, (40, 300)).astype(np.float32) for seed in range(2)]
PROFILE = np.zeros((3, 4, 5), np.float32)


@pytest.mark.parametrize("exact", [True, False])
def test_answers_come_back_as_they_were_written_down(exact: bool, tmp_path: Path) -> None:
    notebook = BaselineWriter(tmp_path, "key", exact=exact)
    assert find(tmp_path, "key") is None
    for logits in LOGITS:
        notebook.write(logits)
    written = notebook.close(PROFILE, 1.5)
    read = find(tmp_path, "key")
    assert read is not None
    assert (read.seconds, read.profile.shape) == (1.5, (3, 4, 5))
    for index, logits in enumerate(LOGITS):
        answer = read.window(index)
        assert answer.digest == digest(logits) == written.window(index).digest
        assert np.array_equal(answer.logits, logits) == exact
        assert np.abs(answer.logits - logits).max() < 5e-4


def test_sixteen_bits_move_the_divergence_by_less_than_a_ten_millionth(tmp_path: Path) -> None:
    notebook = BaselineWriter(tmp_path, "key", exact=False)
    notebook.write(LOGITS[0])
    answer = notebook.close(PROFILE, 0.0).window(0)
    found = summarise(score(LOGITS[0], answer.logits, np.zeros(40, np.int64)))
    assert found.kl_max < 1e-7


def test_equal_logits_keep_a_step_of_zero(tmp_path: Path) -> None:
    notebook = BaselineWriter(tmp_path, "key", exact=False)
    notebook.write(np.full((2, 8), 4.0, np.float32))
    assert (notebook.close(PROFILE, 0.0).window(0).logits == 4.0).all()


def test_an_interrupted_run_leaves_no_answers_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    BaselineWriter(tmp_path, "key", exact=True).write(LOGITS[1])
    assert find(tmp_path, "key") is None
    again = BaselineWriter(tmp_path, "key", exact=True)
    again.write(LOGITS[0])
    assert np.array_equal(again.close(PROFILE, 0.0).window(0).logits, LOGITS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
