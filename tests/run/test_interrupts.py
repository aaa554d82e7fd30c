"""The signals that a run serves."""

import os
import signal
import threading

import pytest

from vae_fn.run.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_announced_once(number, capsys):
    with Interrupts() as interrupts:
        assert not interrupts.asked()
        os.kill(os.getpid(), number)
        assert capsys.readouterr().err == "", "a handler that prints can fail"
        assert interrupts.asked()
        assert interrupts.asked()
    assert interrupts.received == number
    assert capsys.readouterr().err.count("stopping after the steps under way") == 1


def test_the_second_signal_acts_as_it_did_before():
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_from_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_off_the_main_thread_nothing_is_touched():
    faults = []

    def enter():
        try:
            with Interrupts() as interrupts:
                assert not interrupts.asked()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert faults == []
