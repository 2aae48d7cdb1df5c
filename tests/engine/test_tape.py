"""Recording is a state of each thread; blocks and decorators change it and put it back."""

from __future__ import annotations

import threading

import pytest

import chainrule as cr


def test_no_grad_records_nothing():
    w = cr.tensor(2.0, requires_grad=True)
    with cr.no_grad():
        assert not cr.is_recording()
        assert not (w * w).requires_grad
    assert cr.is_recording()
    assert (w * w).requires_grad


def test_blocks_nest():
    with cr.no_grad():
        with cr.enable_grad():
            assert cr.is_recording()
            with cr.no_grad():
                assert not cr.is_recording()
            assert cr.is_recording()
        assert not cr.is_recording()


def test_one_block_may_be_entered_again():
    for block, inside in ((cr.no_grad(), False), (cr.enable_grad(), True)):
        for _ in range(2):
            with block:
                assert cr.is_recording() is inside
                with block:
                    assert cr.is_recording() is inside
                assert cr.is_recording() is inside
            assert cr.is_recording()


def test_the_state_is_restored_after_an_exception():
    with pytest.raises(ZeroDivisionError), cr.no_grad():
        raise ZeroDivisionError
    assert cr.is_recording()


def test_as_decorators_they_hold_for_every_call():
    @cr.no_grad()
    def inner(depth):
        """Documented."""
        return cr.is_recording() or (depth > 0 and inner(depth - 1))

    assert not inner(2)
    assert not inner(0)
    assert inner.__doc__ == "Documented."
    assert cr.is_recording()


def test_each_thread_has_its_own_state():
    seen, ready, go = [], threading.Event(), threading.Event()

    def work():
        with cr.no_grad():
            ready.set()
            go.wait()
            seen.append(cr.is_recording())

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    assert cr.is_recording()
    go.set()
    thread.join()
    with cr.no_grad():
        thread = threading.Thread(target=lambda: seen.append(cr.is_recording()))
        thread.start()
        thread.join()
    assert seen == [False, True]
