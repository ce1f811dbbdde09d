from statistics import fmean, pvariance

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.sim.draws import draw, draw_below_ns, extend_key, make_key


@given(st.integers(0, 2**63), st.integers(-5, 2**40))
def test_a_draw_is_a_ratio_and_depends_on_nothing_but_its_key(seed, part):
    key = make_key(seed, "purpose", 3, "flow")
    assert 0.0 <= draw(key, part) < 1.0
    assert draw(key, part) == draw(make_key(seed, "purpose", 3, "flow"), part)


def test_draws_are_uniform_to_the_eye_of_mean_and_variance():
    key = make_key(1, "uniform")
    values = [draw(key, i) for i in range(20_000)]
    assert abs(fmean(values) - 0.5) < 0.01
    assert abs(pvariance(values) - 1 / 12) < 0.003


def test_neighbouring_keys_are_not_correlated():
    left = [draw(extend_key(5, i), 0) - 0.5 for i in range(20_000)]
    right = [draw(extend_key(5, i + 1), 0) - 0.5 for i in range(20_000)]
    assert abs(fmean(a * b for a, b in zip(left, right, strict=True))) < 0.003


def test_purposes_and_names_separate_draws():
    assert len({make_key(1, p, n) for p in ("link", "scan") for n in ("a", "b", 1)}) == 6


def test_drawn_time_stays_below_its_bound_and_is_zero_without_one():
    assert all(0 <= draw_below_ns(9, i, 7) < 7 for i in range(200))
    assert draw_below_ns(9, 0, 0) == 0


def test_bits_are_those_of_splitmix64():
    """Witness: first output of the published splitmix64 for seed 1234567 (Rosetta Code's reference value)."""
    assert extend_key(1234567, 0) == 6457827717110365317
