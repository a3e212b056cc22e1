"""Every rejected row has one reason: the first that applies."""

import numpy as np

from cl_spark.evidence.validity import NULL_PART, PRECEDENCE, REASONS, RejectionReason, choose_reasons


def test_every_reason_has_a_text_and_a_place() -> None:
    assert set(REASONS) == set(RejectionReason) - {RejectionReason.NONE}
    assert sorted(PRECEDENCE) == sorted(REASONS)
    assert len(set(REASONS.values())) == len(REASONS)


def test_codes_fit_a_byte() -> None:
    assert max(RejectionReason) < NULL_PART < np.iinfo(np.int8).max


def test_the_first_reason_that_applies_is_given() -> None:
    size = len(PRECEDENCE)
    failed = {reason: np.arange(size) <= i for i, reason in enumerate(PRECEDENCE)}
    assert choose_reasons(failed, size).tolist() == [int(reason) for reason in PRECEDENCE]


def test_rows_without_a_reason_are_accepted() -> None:
    failed = {RejectionReason.NEGATIVE: np.array([False, True, False])}
    assert choose_reasons(failed, 3).tolist() == [0, RejectionReason.NEGATIVE, 0]
    assert choose_reasons({}, 2).tolist() == [0, 0]
