"""What is asked of CUDA to capture a step and to replay it, told by a stand-in for torch's module."""

import contextlib
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from vae_fn.compiling import CaptureError
from vae_fn.compiling.replaying import REHEARSALS, cuda_graph


class FakeCuda:
    """Records what is done to streams and graphs, in its order, and the device that is current then.

    As with torch's, a capture that fails leaves its stream the current one, and raises another fault at its end.
    """

    OutOfMemoryError = torch.OutOfMemoryError

    def __init__(self):
        self.current, self.mode, self.done = torch.device("cuda", 0), "default", []
        self.first = self.now = self.Stream()

    @contextlib.contextmanager
    def device(self, device):
        before, self.current = self.current, device
        try:
            yield
        finally:
            self.current = before

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: self.done.append(("waits", self.current)))

    def current_stream(self):
        return self.now

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    @contextlib.contextmanager
    def graph(self, graph, stream):
        self.done.append(("captures", self.current))
        before, self.now = self.now, stream
        try:
            yield
        except BaseException as fault:
            raise RuntimeError("operation failed due to a previous error during capture") from fault
        self.now = before

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.done.append(("replays", self.current)))

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode


def test_the_graph_is_captured_and_replayed_on_the_states_device(monkeypatch):
    """Another device is the current one all along."""
    fake, second = FakeCuda(), torch.device("cuda", 1)
    monkeypatch.setattr(torch, "cuda", fake)
    work, rehearse = (lambda word=word: fake.done.append((word, fake.current)) for word in ("works", "rehearses"))
    replay = cuda_graph(work, rehearse, second)
    replay()
    assert fake.current == torch.device("cuda", 0)
    assert {device for _, device in fake.done} == {second}
    words = [word for word, _ in fake.done]
    assert words == ["waits", *["rehearses"] * (REHEARSALS + 1), "waits", "captures", "works", "replays"]


def test_a_graph_keeps_the_work_that_it_replays(monkeypatch):
    """The kernels that it calls are that work's."""
    monkeypatch.setattr(torch, "cuda", FakeCuda())

    def work():
        pass

    replay, kept = cuda_graph(work, lambda: None, torch.device("cuda", 0)), weakref.ref(work)
    del work
    gc.collect()
    assert kept() is not None
    del replay
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("when", ["rehearsed", "captured"])
def test_after_a_fault_the_stream_is_the_one_before_and_has_waited(when, monkeypatch):
    fake, failing = FakeCuda(), [False] * (REHEARSALS + 1) * (when == "captured") + [True]
    monkeypatch.setattr(torch, "cuda", fake)

    def work():
        if failing.pop(0):
            raise RuntimeError("it fails")

    with pytest.raises(RuntimeError, match="it fails"):
        cuda_graph(work, work, torch.device("cuda", 0))
    assert not failing
    assert fake.now is fake.first
    assert [word for word, _ in fake.done if word == "waits"] == ["waits"] * 2


def test_work_that_waits_for_the_device_is_refused_before_it_is_captured(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)

    def work():
        if fake.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(CaptureError, match=r"no CUDA graph \(called a synchronizing .*\): leave cuda_graph out"):
        cuda_graph(work, work, torch.device("cuda", 0))
    assert fake.mode == "default"
    assert "captures" not in [word for word, _ in fake.done]


@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError])
def test_a_capture_that_fails_is_refused_but_for_want_of_memory(kind, monkeypatch):
    """Not all that no graph takes waits for the device. The work's own fault is told, not that of the capture."""
    monkeypatch.setattr(torch, "cuda", FakeCuda())

    def work():
        raise kind("operation not permitted when stream is capturing\nand more")

    expected = kind if kind is torch.OutOfMemoryError else CaptureError
    with pytest.raises(expected, match="operation not permitted when stream is capturing") as fault:
        cuda_graph(work, lambda: None, torch.device("cuda", 0))
    if expected is CaptureError:
        assert str(fault.value).endswith("capturing): leave cuda_graph out, or mend that")


def test_a_capture_that_cannot_end_is_refused(monkeypatch):
    fake = FakeCuda()

    @contextlib.contextmanager
    def capture(graph, stream):
        yield
        raise RuntimeError

    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(fake, "graph", capture)
    with pytest.raises(CaptureError, match=r"no CUDA graph \(RuntimeError\): leave"):
        cuda_graph(lambda: None, lambda: None, torch.device("cuda", 0))
