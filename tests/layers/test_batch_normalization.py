"""BatchNormalization: its two modes, running averages, freezing, masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.layers import BatchNormalization, Dense, from_config
from chainrule.models import Sequential

RNG = np.random.default_rng(0)


def made(**options):
    return BatchNormalization(
        gamma_initializer="random_normal",
        beta_initializer="random_normal",
        **{"dtype": "float64", **options},
    )


def by_hand(layer, x, mean, variance):
    z = (x - mean) / np.sqrt(variance + layer.epsilon)
    return z * layer.gamma.numpy() + layer.beta.numpy()


def running(layer):
    return layer.moving_mean.numpy().copy(), layer.moving_variance.numpy().copy()


# The two modes ------------------------------------------------------------------------------


def test_training_uses_the_batch_and_prediction_the_running_averages():
    layer, x = made(momentum=0.75), RNG.normal(size=(6, 3)) * 2 + 5
    mean, variance = np.zeros(3), np.ones(3)
    for step in range(3):
        batch = x + step
        y = layer(batch, training=True).numpy()
        np.testing.assert_allclose(
            y, by_hand(layer, batch, batch.mean(0), batch.var(0)), atol=1e-13
        )
        mean = 0.75 * mean + 0.25 * batch.mean(0)
        variance = 0.75 * variance + 0.25 * batch.var(0)
        np.testing.assert_allclose(running(layer), [mean, variance], rtol=1e-13)
    np.testing.assert_allclose(layer(x).numpy(), by_hand(layer, x, mean, variance), atol=1e-13)
    np.testing.assert_allclose(running(layer), [mean, variance], rtol=1e-13)


@pytest.mark.parametrize("frozen_before", [False, True])
def test_a_frozen_layer_computes_the_same_in_training(frozen_before):
    """Keras's rule: trainable = False means the running averages, which stay."""
    layer, x = made(trainable=not frozen_before), RNG.normal(size=(5, 3))
    if not frozen_before:
        layer(x + 1, training=True)
        layer.trainable = False
    expected, before = layer(x).numpy(), running(layer)
    np.testing.assert_array_equal(layer(x, training=True).numpy(), expected)
    np.testing.assert_array_equal(running(layer), before)
    layer.trainable = True
    assert not np.allclose(layer(x, training=True).numpy(), expected)


def test_the_running_averages_are_state_and_no_parameters():
    layer = made()
    layer(np.ones((2, 3)))
    assert [name for name, _ in layer.named_parameters()] == ["gamma", "beta"]
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [name for name, _ in layer.named_weights()] == names
    assert not layer.moving_mean.requires_grad and layer.count_params() == 6


def test_the_averages_move_once_where_the_forward_pass_runs_twice():
    """Also once for a gradient of second order."""
    x = RNG.normal(size=(6, 3))
    plain, checked = made(), made()
    plain.build((None, 3)), checked.build((None, 3))
    for one, other in zip(plain.parameters(), checked.parameters(), strict=True):
        other.assign(one)
    upstream, found = RNG.normal(size=(6, 3)), []
    for layer in (plain, checked):
        t = cr.tensor(x, requires_grad=True)
        call = lambda v, layer=layer: layer(v, training=True)  # noqa: E731
        y = cr.checkpoint(call, t) if layer is checked else call(t)
        y.backward(upstream)
        found.append(t.grad.numpy())
        np.testing.assert_allclose(layer.moving_mean.numpy(), 0.01 * x.mean(0), rtol=1e-13)
    np.testing.assert_array_equal(*found)
    before = running(plain)
    t = cr.tensor(x, requires_grad=True)
    (first,) = cr.grad([plain(t, training=True)], [t], [upstream], create_graph=True)
    cr.grad([first], [t], [upstream])
    assert not np.array_equal(running(plain), before)
    np.testing.assert_allclose(plain.moving_mean.numpy(), 0.0199 * x.mean(0), rtol=1e-12)


def test_fit_trains_and_evaluate_leaves_the_averages_alone():
    cr.seed(0)
    model = Sequential([Dense(4, activation="relu"), BatchNormalization(momentum=0.5), Dense(1)])
    model.compile("sgd", "mse")
    x, y = RNG.normal(size=(32, 3)) + 2, RNG.normal(size=(32, 1))
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    norm = model.layers[1]
    after = running(norm)
    assert not np.allclose(after[0], 0)
    model.evaluate(x, y, verbose=0), model.predict(x)
    np.testing.assert_array_equal(running(norm), after)


# Axes and masks -----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_along_any_axis(axis):
    x = RNG.normal(size=(4, 3, 2, 5))
    layer = made(axis=axis)
    y = layer(x, training=True).numpy()
    moved = np.moveaxis(x, axis, -1)
    expected = by_hand(layer, moved, moved.mean((0, 1, 2)), moved.var((0, 1, 2)))
    np.testing.assert_allclose(y, np.moveaxis(expected, -1, axis), atol=1e-13)
    again = by_hand(layer, moved, *running(layer))
    np.testing.assert_allclose(layer(x).numpy(), np.moveaxis(again, -1, axis), atol=1e-13)
    assert layer.moving_mean.shape == (x.shape[axis],)


def test_padding_does_not_count():
    """Whatever stands there, NaN too, in the result, the averages and all gradients."""
    mask = np.array([[True, True, False], [True, False, False]])
    x = RNG.normal(size=(2, 3, 4))
    results = []
    for fill in (0.0, np.nan, 1e6):
        layer = BatchNormalization(dtype="float64")
        t = cr.tensor(np.where(mask[:, :, None], x, fill), requires_grad=True)
        y = layer(t, training=True, mask=mask)
        np.testing.assert_array_equal(cr.engine.masks.mask_of(y), mask)
        y.backward(np.linspace(-1, 1, 24).reshape(2, 3, 4) ** 3)
        grads = [t.grad, *(each.grad for each in layer.parameters())]
        results.append([y.numpy(), *running(layer), *(each.numpy() for each in grads)])
    for one, other, third in zip(*results, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)
    real = x[mask]
    np.testing.assert_allclose(results[0][1], 0.01 * real.mean(0), atol=1e-14)
    np.testing.assert_allclose(results[0][2], 0.99 + 0.01 * real.var(0), atol=1e-14)
    assert (results[0][0][~mask] == 0).all() and (results[0][3][~mask] == 0).all()


def test_a_mask_of_all_steps_is_no_mask():
    x = RNG.normal(size=(2, 3, 4))
    layer = BatchNormalization(dtype="float64")
    masked = layer(x, training=True, mask=np.ones((2, 3), bool)).numpy()
    np.testing.assert_allclose(layer(x, training=True).numpy(), masked, atol=1e-14)


# Gradients ----------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    rng = np.random.default_rng(draw(0, 99))
    x = rng.normal(size=(draw(2, 3), *[draw(1, 2)] * draw(0, 1), draw(1, 3)))
    layer = made(epsilon=0.1, center=bool(draw(0, 1)), scale=bool(draw(0, 1)), dtype="float64")
    layer(x)
    training = bool(draw(0, 1))
    masked = x.ndim == 3 and bool(draw(0, 1))
    mask = np.ones(x.shape[:2], bool)
    mask[0, -1] = x.size // x.shape[-1] < 4 or not masked
    call = lambda v: layer(v, training=training, mask=mask if masked else None)  # noqa: E731
    cr.assert_gradients(call, x, order=2)


def test_the_gradient_check_sees_the_parameters_in_training():
    """And is at peace with the running averages that its runs move."""

    class Trained(BatchNormalization):
        def call(self, x, mask=None):
            return self._by_batch(x, x)

    cr.assert_gradients(Trained(epsilon=0.1), RNG.normal(size=(3, 2)), order=2)


# Arguments ----------------------------------------------------------------------------------


def test_configuration_and_penalties():
    layer = BatchNormalization(
        1, 0.9, 0.01, center=False, moving_mean_initializer="ones", gamma_regularizer="l1"
    )
    again = from_config(layer.to_config())
    assert again.get_config() == layer.get_config()
    again(np.ones((2, 3)))
    assert (again.moving_mean.numpy() == 1).all() and again.beta is None
    assert len(again.losses) == 1


def test_weights_survive_a_file(tmp_path):
    x = RNG.normal(size=(8, 3))
    model, other = (Sequential([BatchNormalization(dtype="float64")]) for _ in range(2))
    model(x, training=True)
    model.save_weights(tmp_path / "w.safetensors")
    other.build((None, 3))
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: BatchNormalization("last"), TypeError, "axis must be an integer"),
        (lambda: BatchNormalization(momentum=1.0), ValueError, "momentum must be at least 0 and"),
        (lambda: BatchNormalization(epsilon=-1), ValueError, "epsilon must be finite and not neg"),
        (lambda: BatchNormalization(0)(np.ones((2, 3))), cr.ShapeError, "after the batch"),
        (lambda: BatchNormalization(2)(np.ones((2, 3))), cr.ShapeError, "after the batch"),
        (
            lambda: BatchNormalization()(np.ones((1, 3)), training=True),
            cr.ShapeError,
            r"at least 2 numbers of each feature.*got 1.*shape \(1, 3\).*larger batches",
        ),
        (
            lambda: BatchNormalization(1)(np.ones((2, 3, 4)), training=True, mask=[[True] * 3] * 2),
            cr.ShapeError,
            "axis=1 lies along the mask",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=f"BatchNormalization: .*{text}"):
        call()


def test_one_sample_of_many_steps_is_a_batch():
    x = RNG.normal(size=(1, 5, 2))
    y = BatchNormalization(dtype="float64")(x, training=True).numpy()
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-15)


def test_another_width_than_the_layer_was_built_on():
    layer = BatchNormalization()
    layer(np.ones((2, 3)))
    with pytest.raises(cr.ShapeError, match=r"axis -1 of x to be 3.*built on it.*\(2, 4\), float3"):
        layer(np.ones((2, 4)))
