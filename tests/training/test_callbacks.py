"""Callbacks are checked, called in order, and told apart by the hooks they override."""

from __future__ import annotations

import inspect

import pytest

from chainrule.training.callbacks import HOOKS, Callback, CallbackList, LambdaCallback


def arguments_of(hook):
    """Positional arguments of a hook, before its logs."""
    return list(range(7, 7 + len(inspect.signature(getattr(Callback, hook)).parameters) - 2))


def recorder(calls, name):
    return LambdaCallback(
        **{hook: lambda *a, hook=hook: calls.append((name, hook, *a)) for hook in HOOKS}
    )


def test_there_are_the_fourteen_hooks_of_keras():
    assert set(HOOKS) == {name for name in vars(Callback) if name.startswith("on_")}
    assert len(HOOKS) == 14


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_reaches_every_callback_in_order_with_the_same_logs(hook):
    calls = []
    callbacks = CallbackList([recorder(calls, "first"), recorder(calls, "second")])
    logs = {"loss": 1.0}
    getattr(callbacks, hook)(*arguments_of(hook), logs)
    assert [call[:-1] for call in calls] == [
        (name, hook, *arguments_of(hook)) for name in ("first", "second")
    ]
    assert all(call[-1] is logs for call in calls)


@pytest.mark.parametrize("hook", HOOKS)
def test_without_logs_hooks_get_an_empty_dictionary_of_their_own(hook):
    calls = []
    callbacks = CallbackList(recorder(calls, "only"))
    for _ in range(2):
        getattr(callbacks, hook)(*arguments_of(hook))
    assert [call[-1] for call in calls] == [{}, {}]
    assert calls[0][-1] is not calls[1][-1]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", ["subclass", "lambda", "instance", "inherited"])
def test_batch_hooks_are_known_however_they_are_overridden(hook, kind):
    def function(*arguments):
        return None

    if kind == "subclass":
        callback = type("Mine", (Callback,), {hook: function})()
    elif kind == "inherited":
        callback = type("Child", (type("Mine", (Callback,), {hook: function}),), {})()
    elif kind == "lambda":
        callback = LambdaCallback(**{hook: function})
    else:
        callback = Callback()
        setattr(callback, hook, function)
    callbacks = CallbackList([Callback(), callback])
    for family in ("train", "test", "predict"):
        expected = hook.startswith(f"on_{family}_batch")
        assert getattr(callbacks, f"{family}_batch_hooks") is expected


def test_additions_to_the_logs_are_seen_by_later_callbacks():
    seen = {}
    callbacks = CallbackList(
        [
            LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(learning_rate=0.1)),
            LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update(logs)),
        ]
    )
    callbacks.on_epoch_end(0, {"loss": 1.0})
    assert seen == {"loss": 1.0, "learning_rate": 0.1}


def test_model_and_params_arrive_and_training_can_be_stopped():
    class Model:
        stop_training = False

    class Stop(Callback):
        def __init__(self):
            """Without the base's, as many users write it."""

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == self.params["epochs"] - 1

    model = Model()
    callbacks = CallbackList((each for each in [Stop()]), model=model, params={"epochs": 2})
    callbacks.on_epoch_end(0)
    assert not model.stop_training
    callbacks.on_epoch_end(1)
    assert model.stop_training


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([Callback(), 3], r"fit: callbacks\[1\] is a int, not a Callback; derive it"),
        ([print], r"callbacks\[0\] is a builtin_function_or_method.*LambdaCallback"),
        ([Callback], r"callbacks\[0\] is the class Callback.*Callback\(\.\.\.\)"),
        (Callback, r"callbacks is the class Callback"),
        ("abc", r"callbacks is a str"),
        (5, r"callbacks is a int"),
        (print, r"callbacks is a builtin_function_or_method.*LambdaCallback"),
    ],
)
def test_what_is_no_callback_is_named(callbacks, message):
    with pytest.raises(TypeError, match=message):
        CallbackList(callbacks)


def test_no_callbacks_are_fine():
    CallbackList(None).on_train_begin()
    CallbackList([]).on_train_end()


def test_a_misspelt_hook_is_an_error_that_lists_the_hooks():
    with pytest.raises(ValueError, match=r"no hook 'on_epoch_ends'.*on_epoch_end"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got int"):
        LambdaCallback(on_epoch_end=3)


# A callback that raises ---------------------------------------------------------------------------


class StoppedError(Exception):
    """A control-flow exception of a library, which must arrive as what it is."""

    def __init__(self, trial, reason):
        super().__init__(trial, reason)
        self.trial = trial


def raiser(hook, error):
    def call(*arguments):
        raise error

    return LambdaCallback(**{hook: call})


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_keeps_its_type_and_names_the_callback_and_the_hook(hook):
    calls, error = [], StoppedError(3, "worse than the median")
    callbacks = CallbackList(
        [recorder(calls, "first"), raiser(hook, error), recorder(calls, "last")]
    )
    with pytest.raises(StoppedError) as raised:
        getattr(callbacks, hook)(*arguments_of(hook), {"loss": 1.0})
    assert raised.value is error and error.trial == 3
    position = "batch=7" if "_batch_" in hook else "epoch=7" if "_epoch_" in hook else ""
    assert error.__notes__ == [
        f"fit: raised by the callback LambdaCallback (callbacks[1]) in {hook}({position})"
    ]
    assert [name for name, *_ in calls] == ["first"]
    assert callbacks.interrupted == (hook, 1, (*arguments_of(hook), {"loss": 1.0}))


@pytest.mark.parametrize("hook", HOOKS)
def test_finishing_a_hook_calls_the_rest_only(hook):
    calls = []
    callbacks = CallbackList([recorder(calls, str(i)) for i in range(3)] + [Callback()])
    logs = {"loss": 1.0}
    callbacks.finish(hook, 1, *arguments_of(hook), logs)
    assert calls == [(name, hook, *arguments_of(hook), logs) for name in "12"]
    callbacks.finish(hook, 4, *arguments_of(hook), logs)
    assert len(calls) == 2
    with pytest.raises(ValueError, match="no hook 'on_epoch_ends'"):
        callbacks.finish("on_epoch_ends", 0, logs)


def test_what_was_cut_off_can_be_finished_in_another_list():
    calls = []

    def made(second):
        return CallbackList([recorder(calls, "first"), second, recorder(calls, "last")])

    broken = made(raiser("on_epoch_end", OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        broken.on_epoch_end(4, {"loss": 1.0})
    hook, first, arguments = broken.interrupted
    made(recorder(calls, "mended")).finish(hook, first, *arguments)
    assert [(name, epoch) for name, _, epoch, _ in calls] == [
        ("first", 4),
        ("mended", 4),
        ("last", 4),
    ]


def test_the_first_of_several_interruptions_is_kept():
    callbacks = CallbackList(
        [raiser("on_epoch_end", ValueError("one")), raiser("on_train_end", TypeError("two"))]
    )
    assert callbacks.interrupted is None
    with pytest.raises(ValueError, match="one"):
        callbacks.on_epoch_end(0)
    with pytest.raises(TypeError, match="two") as second:
        callbacks.on_train_end()
    assert callbacks.interrupted == ("on_epoch_end", 0, (0, {}))
    assert "callbacks[1]) in on_train_end()" in second.value.__notes__[0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_a_callback_is_no_error_of_the_callback(kind):
    callbacks = CallbackList([Callback(), raiser("on_epoch_end", kind())])
    with pytest.raises(kind) as raised:
        callbacks.on_epoch_end(2, {"loss": 1.0})
    assert not hasattr(raised.value, "__notes__")
    assert callbacks.interrupted == ("on_epoch_end", 1, (2, {"loss": 1.0}))


@pytest.mark.parametrize(
    ("base", "arguments", "shown"),
    [
        (ValueError, ("too large",), "too large\nfit: raised by"),
        (KeyError, ("loss",), "'loss'"),
        (OSError, (28, "No space left"), "[Errno 28] No space left"),
        (ValueError, (), ""),
    ],
)
def test_before_python_3_11_the_message_itself_is_lengthened(base, arguments, shown):
    kind = type("Old", (base,), {"add_note": None})  # as if exceptions had no such method
    error = kind(*arguments)
    with pytest.raises(base):
        CallbackList(raiser("on_train_begin", error), where="evaluate").on_train_begin()
    assert len(error.__notes__) == 1 and "LambdaCallback (callbacks[0])" in error.__notes__[0]
    assert str(error).startswith(shown.replace("fit", "evaluate"))
    assert len(error.args) == len(arguments)
    assert error.args == arguments or shown.endswith("raised by")
