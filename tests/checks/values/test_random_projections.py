import numpy as np

from hubbot.checks.values.random_projections import RandomProjections
from tests.reference.checkpoints import Floats


def experts(count: int = 6) -> Floats:
    return np.random.default_rng(2).normal(size=(count, 8, 32)).astype(np.float32)


def signatures(source: Floats, actual: Floats) -> RandomProjections:
    made = RandomProjections()
    made.add(source[:2], actual[:2])
    made.add(source[2:], actual[2:])
    return made


def test_experts_that_stand_at_their_own_place_raise_no_suspicion() -> None:
    source = experts()
    noise = np.random.default_rng(3).normal(0, 0.05, source.shape).astype(np.float32)
    assert list(signatures(source, source + noise).suspects()) == []


def test_an_expert_far_away_in_the_layer_is_named_as_the_nearest() -> None:
    source = experts()
    assert list(signatures(source, source[[0, 5, 2, 3, 4, 1]]).suspects()) == [(1, 5), (5, 1)]


def test_experts_that_hold_the_other_projection_are_strangers() -> None:
    gate, up = experts(), experts()[::-1]
    mixed = gate.copy()
    mixed[3] = up[3]
    assert list(signatures(gate, mixed).strangers(signatures(up, up))) == [3]
    assert list(signatures(gate, gate).strangers(signatures(up[:3], up[:3]))) == []


def test_identical_experts_of_the_source_are_twins_of_the_first_of_them() -> None:
    source = experts()
    source[4] = source[5] = source[1]
    assert signatures(source, source).twins() == [(1, 4), (1, 5)]
    assert signatures(experts(), experts()).twins() == []


def test_a_layer_of_one_expert_has_nobody_to_be_taken_for() -> None:
    one = experts(1)
    made = RandomProjections()
    made.add(one, one)
    assert (list(made.suspects()), made.twins()) == ([], [])


def test_numbers_that_are_none_are_suspicious_and_stop_nothing() -> None:
    source = experts()
    actual = source.copy()
    actual[2] = np.nan
    assert [expert for expert, _ in signatures(source, actual).suspects()] in ([], [2])
