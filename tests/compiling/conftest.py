"""What the tests of compiled steps watch."""

import pytest

from vae_fn.compiling import again, recording


@pytest.fixture
def recorded(monkeypatch):
    """What came of every attempt to record: a recording, or None."""
    made = []

    def noted(graph, inputs):
        outputs, of = recording.record(graph, inputs)
        made.append(of)
        return outputs, of

    monkeypatch.setattr(again, "record", noted)
    return made
