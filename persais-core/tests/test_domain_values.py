"""Values of the domain, and what cannot be done to them."""

from __future__ import annotations

import pytest

from persais_core.domain.chats import Lane


def test_a_copy_of_a_value_takes_no_field_that_there_is_not() -> None:
    lane = Lane(chat_id=1, topic_id=2)
    assert lane.model_copy(update={"topic_id": 3}) == Lane(chat_id=1, topic_id=3)
    assert lane.model_copy() == lane
    with pytest.raises(TypeError, match="Lane has no field topic, user"):
        lane.model_copy(update={"user": 1, "topic": 3})
