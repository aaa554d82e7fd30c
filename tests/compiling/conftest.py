"""What the tests of compiled steps watch."""

import pytest

from vae_fn.compiling import recorder


@pytest.fixture
def recorded(monkeypatch):
    """What came of every attempt to record: a recording, or None."""
    made, record = [], recorder.record

    def noted(graph, inputs):
        outputs, recording = record(graph, inputs)
        made.append(recording)
        return outputs, recording

    monkeypatch.setattr(recorder, "record", noted)
    return made


@pytest.fixture
def unrecorded(monkeypatch):
    """A switch that turns recordings off."""
    return lambda: monkeypatch.setattr(recorder, "record", lambda graph, inputs: (graph(*inputs), None))
