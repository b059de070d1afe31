"""The replicas of a stream: the setting's, or an operator's."""

import pytest

from artcafe_common.bus.stream_replicas import choose_replicas, replicas_metadata


@pytest.mark.parametrize(
    ("actual", "metadata", "setting", "chosen"),
    [
        (1, replicas_metadata(1), 1, 1),
        (1, replicas_metadata(1), 3, 3),  # the setting was changed
        (3, replicas_metadata(3), 1, 1),
        (5, replicas_metadata(3), 3, 5),  # an operator added two
        (1, replicas_metadata(3), 3, 1),  # an operator removed two
        (3, None, 1, 3),  # raised by hand before the setting existed
        (1, {"other": "x"}, 3, 3),
    ],
)
def test_an_operators_number_stays_until_the_setting_changes(actual, metadata, setting, chosen):
    assert choose_replicas(actual, metadata, setting) == chosen
