"""PyTorch modules answer as their callers see them, unchanged; and nothing in a file of weights is run."""

import copy
import traceback
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.special import log_expit, log_softmax

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from unseen.access import Access  # noqa: E402
from unseen.errors import DataError, ModelError, TargetFailed  # noqa: E402
from unseen.targets.torch import TorchTarget, as_tensor  # noqa: E402
from unseen.targets.torch_files import load_torch  # noqa: E402
from unseen.targets.torch_gradients import _one_by_one, _watched, gradient_norm, last_features  # noqa: E402

SECRET = "Rumpelstilzchen"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 5)).astype(np.float32)
CLASSES = np.array(["a", "b", "c"])


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def network(outputs=3, inputs=5):
    return seeded(
        lambda: nn.Sequential(
            nn.Linear(inputs, 7), nn.BatchNorm1d(7), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(7, outputs)
        )
    )


def plain(module, table=X):
    """What a caller gets, in evaluation mode."""
    twin = copy.deepcopy(module).eval()
    with torch.no_grad():
        return twin(torch.tensor(np.asarray(table, dtype=np.float32))).double().numpy()


class TestAnswers:
    def test_logits_become_log_probabilities_in_double_precision(self):
        module = network()
        answers = TorchTarget(module, CLASSES).answer(X)
        assert answers.log_probs.dtype == np.float64
        assert np.array_equal(answers.log_probs, log_softmax(plain(module), axis=1))
        assert (answers.predicted == plain(module).argmax(axis=1)).all()

    def test_large_logits_saturate_nothing(self):
        class Sure(nn.Module):
            def forward(self, rows):
                return rows[:, :2] * 1e4

        answers = TorchTarget(Sure(), [0, 1]).answer(X)
        assert np.isfinite(answers.log_probs).all()
        assert answers.log_probs.min() < -1000

    @pytest.mark.parametrize("squeeze", [False, True])
    def test_one_logit_for_two_classes_is_the_second_ones_log_odds(self, squeeze):
        module = nn.Sequential(network(1), nn.Flatten(0)) if squeeze else network(1)
        answers = TorchTarget(module, ["no", "yes"]).answer(X)
        odds = plain(network(1))[:, 0]
        assert np.allclose(answers.log_probs, np.column_stack([log_expit(-odds), log_expit(odds)]), rtol=1e-12)

    @pytest.mark.parametrize("squeeze", [False, True])
    def test_without_classes_it_is_a_regressor(self, squeeze):
        module = nn.Sequential(network(1), nn.Flatten(0)) if squeeze else network(1)
        target = TorchTarget(module)
        answers = target.answer(X)
        assert target.classes.size == 0
        assert answers.log_probs is None
        assert answers.value.dtype == np.float64
        assert np.array_equal(answers.value, plain(network(1))[:, 0])
        assert answers.predicted.tolist() == [0] * 23

    @pytest.mark.parametrize("batch_size", [1, 7, 23, 1000])
    def test_batches_change_nothing_but_the_last_bits(self, batch_size):
        answers = TorchTarget(network(), CLASSES, batch_size=batch_size).answer(X)
        assert np.allclose(answers.log_probs, log_softmax(plain(network()), axis=1), atol=1e-6)

    def test_every_batch_has_at_most_its_size(self):
        sizes = []

        class Counts(nn.Module):
            def forward(self, rows):
                sizes.append(len(rows))
                return rows[:, :3]

        TorchTarget(Counts(), CLASSES, batch_size=10).answer(X)
        assert sizes == [10, 10, 3]

    def test_no_records_have_no_answers(self):
        assert TorchTarget(network(), CLASSES).answer(X[:0]).log_probs.shape == (0, 3)
        assert TorchTarget(network(1)).answer(X[:0]).value.shape == (0,)

    def test_flat_rows_are_given_the_shape_that_a_record_has(self):
        module = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 3)))
        images = RNG.normal(size=(6, 3, 4, 4)).astype(np.float32)
        flat = TorchTarget(module, CLASSES, shape=(3, 4, 4)).answer(images.reshape(6, -1))
        assert np.array_equal(flat.log_probs, TorchTarget(module, CLASSES).answer(images).log_probs)

    def test_a_module_of_double_precision_is_asked_in_it(self):
        module = network().double()
        wide = X.astype(np.float64)
        with torch.no_grad():
            expected = copy.deepcopy(module).eval()(torch.from_numpy(wide)).numpy()
        assert np.array_equal(TorchTarget(module, CLASSES).answer(X).log_probs, log_softmax(expected, axis=1))

    def test_its_access_is_what_its_answers_show(self):
        assert TorchTarget(network(), CLASSES).access == {
            Access.LABELS,
            Access.SCORES,
            Access.PROBABILITIES,
            Access.WEIGHTS,
        }
        assert TorchTarget(network(1)).access == {Access.LABELS, Access.SCORES, Access.WEIGHTS}


class TestTheModuleIsLeftAsItWas:
    @pytest.mark.parametrize("training", [True, False])
    def test_neither_weights_statistics_nor_modes_change(self, training):
        module = network().train(training)
        module[1].eval()  # a part that was frozen by hand stays frozen
        before = copy.deepcopy(module.state_dict())
        modes = [part.training for part in module.modules()]
        gradients = [weight.requires_grad for weight in module.parameters()]
        target = TorchTarget(module, CLASSES)
        target.answer(X)
        gradient_norm(target, X, np.zeros(23, dtype=int))
        assert target.model is module
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
        assert [part.training for part in module.modules()] == modes
        assert [weight.requires_grad for weight in module.parameters()] == gradients
        assert all(weight.grad is None for weight in module.parameters())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())

    def test_it_is_so_where_the_module_raises(self):
        module = network().train()
        with pytest.raises(ModelError):
            TorchTarget(module, CLASSES).answer(X[:, :4])
        assert all(part.training for part in module.modules())
        assert not any(part._forward_pre_hooks for part in module.modules())

    def test_threads_are_one_while_it_is_asked_and_as_before_afterwards(self):
        seen = []

        class Threads(nn.Module):
            def forward(self, rows):
                seen.append((torch.get_num_threads(), torch.is_grad_enabled(), self.training))
                return rows[:, :3]

        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            TorchTarget(Threads(), CLASSES).answer(X)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert seen == [(1, False, False)]

    @pytest.mark.parametrize("kind", ["numpy", "torch"])
    def test_what_it_writes_into_its_input_stays_with_it(self, kind):
        class Writes(nn.Module):
            def forward(self, rows):
                return rows.mul_(0)[:, :3]

        table = X.copy() if kind == "numpy" else torch.from_numpy(X.copy())
        TorchTarget(Writes(), CLASSES).answer(table)
        assert np.array_equal(np.asarray(table), X)

    def test_another_device_than_its_own_is_refused_and_the_module_not_moved(self):
        with pytest.raises(ModelError, match=r"module\.to\(device\)"):
            TorchTarget(network(), CLASSES, device="meta")
        assert TorchTarget(network(), CLASSES, device="cpu").answer(X).log_probs.shape == (23, 3)


class TestFeatures:
    @pytest.mark.parametrize(
        "table",
        [
            X.astype(np.float64),
            pl.DataFrame(X),
            pd.DataFrame(X),
            torch.from_numpy(X),
            torch.from_numpy(X).double().requires_grad_(),
            sparse.csr_matrix(X),
            np.asfortranarray(X),
            X[::-1][::-1],
        ],
        ids=["float64", "polars", "pandas", "tensor", "double tensor", "sparse", "columns first", "backwards"],
    )
    def test_every_table_of_the_same_numbers_is_the_same_tensor(self, table):
        tensor = as_tensor(table)
        assert tensor.dtype == torch.float32
        assert np.array_equal(tensor.numpy(), X)

    def test_a_locked_array_is_taken_without_a_warning(self):
        locked = X.copy()
        locked.flags.writeable = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(as_tensor(locked).numpy(), X)

    @pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
    def test_whole_numbers_and_truth_values_are_numbers(self, frame):
        table = frame({"age": [1, 2], "old": [True, False], "tall": [1.5, 2.5]})
        assert as_tensor(table).tolist() == [[1, 1, 1.5], [2, 0, 2.5]]

    @pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
    def test_a_column_of_words_is_refused_by_its_name(self, frame):
        table = frame({"age": [1, 2], "town": [SECRET, "b"]})
        with pytest.raises(DataError, match=r"1 of 2 columns hold other values: \['town'\]") as refusal:
            TorchTarget(network(inputs=2), CLASSES).check_columns(table)
        assert SECRET not in str(refusal.value)

    def test_dates_are_refused_too(self):
        table = pd.DataFrame({"age": [1, 2], "born": pd.to_datetime(["2000-01-01", "2001-01-01"])})
        for one in (table, pl.from_pandas(table)):
            with pytest.raises(DataError, match="born"):
                as_tensor(one)

    @pytest.mark.parametrize("array", [np.array([["a"]]), np.array([[None]]), np.array([[1j]]), torch.tensor([[1j]])])
    def test_an_array_of_anything_else_is_refused(self, array):
        with pytest.raises(DataError, match="takes numbers"):
            as_tensor(array)


class TestRefusals:
    def test_another_width_is_a_sentence_with_both(self):
        with pytest.raises(ModelError, match=r"takes 5 numbers a record and was given shape \(4,\)"):
            TorchTarget(network(), CLASSES).answer(X[:, :4])

    def test_images_of_other_channels_are_too(self):
        with pytest.raises(ModelError, match="takes 3 channels"):
            TorchTarget(nn.Conv2d(3, 2, 3), CLASSES).answer(np.zeros((2, 1, 5, 5)))

    def test_a_shape_that_the_table_does_not_fill_is_refused(self):
        with pytest.raises(ModelError, match=r"\(3, 4, 4\) takes 48 numbers a record, the table has 5"):
            TorchTarget(network(), CLASSES, shape=(3, 4, 4)).answer(X)

    @pytest.mark.parametrize("classes", [CLASSES, None])
    def test_answers_that_are_no_numbers_are_counted(self, classes):
        table = X.copy()
        table[:4, 0] = np.nan
        with pytest.raises(ModelError, match="4 of 23"):
            TorchTarget(network(3 if classes is not None else 1), classes).answer(table)

    def test_an_error_of_the_modules_own_is_named_without_its_message(self):
        class Bursts(nn.Module):
            def forward(self, rows):
                raise ValueError(f"{SECRET} {rows}")

        with pytest.raises(TargetFailed, match="raised ValueError on a batch of 23 records") as refusal:
            TorchTarget(Bursts(), CLASSES).answer(X)
        assert SECRET not in "".join(traceback.format_exception(refusal.value))

    @pytest.mark.parametrize(
        "module",
        [
            nn.Sequential(nn.Linear(5, 3), nn.Softmax(1)),
            nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()),
        ],
    )
    def test_probabilities_in_the_place_of_logits_are_refused(self, module):
        with pytest.raises(ModelError, match="probabilities, not logits"):
            TorchTarget(module, np.arange(3 if isinstance(module[1], nn.Softmax) else 2)).answer(X)

    def test_log_probabilities_are_logits_as_good_as_any(self):
        module = network()
        both = [
            TorchTarget(one, CLASSES).answer(X).log_probs for one in (module, nn.Sequential(module, nn.LogSoftmax(1)))
        ]
        assert np.allclose(*both, atol=1e-6)

    def test_more_or_fewer_columns_than_classes_are_refused(self):
        for outputs in (2, 4):
            with pytest.raises(ModelError, match="3 scores"):
                TorchTarget(network(outputs), CLASSES).answer(X)

    def test_several_values_a_record_are_no_regression(self):
        with pytest.raises(ModelError, match="a classifier needs its classes"):
            TorchTarget(network(3)).answer(X)

    def test_something_else_than_a_tensor_is_refused(self):
        class Pair(nn.Module):
            def forward(self, rows):
                return rows, rows

        with pytest.raises(ModelError, match="got tuple"):
            TorchTarget(Pair(), CLASSES).answer(X)

    def test_what_is_no_module_or_has_no_weights_yet_is_refused(self):
        with pytest.raises(ModelError, match=r"nn\.Module"):
            TorchTarget(lambda rows: rows, CLASSES)
        with pytest.raises(ModelError, match="never trained"):
            TorchTarget(nn.LazyLinear(3), CLASSES)

    @pytest.mark.parametrize("classes", [["a"], ["a", "a"], [["a", "b"]]])
    def test_classes_that_name_no_choice_are_refused(self, classes):
        with pytest.raises(ModelError, match="classes must be"):
            TorchTarget(network(), classes)


class Scaled(nn.Module):
    """Ends in a change in place of what its last linear layer gave."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(5, 7), nn.Tanh()), nn.Linear(7, 3)

    def forward(self, rows):
        return self.head(self.body(rows)).mul_(0.25)


class Twice(nn.Module):
    """Uses the weight of its last layer in an earlier one too."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 5)
        self.last.weight = self.first.weight

    def forward(self, rows):
        return self.last(torch.tanh(self.first(rows)))


class Looks(nn.Module):
    """Cannot be vectorized: it branches on a value."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, rows):
        return torch.sin(self.head(rows)) if float(rows.sum()) < 1e9 else rows[:, :3]


def one_by_one(module, weights, truth, loss, table=X):
    """The norm of each record's gradient by autograd, in double precision."""
    module = module.double().eval()
    norms = []
    for row, true in zip(table, truth, strict=True):
        module.zero_grad()
        loss(module(torch.tensor(row[None]).double()), torch.tensor(true)[None]).backward()
        norms.append(np.sqrt(sum(float(weight.grad.square().sum()) for weight in weights(module))))
    module.zero_grad()
    module.float()
    return np.array(norms)


INDEX = RNG.integers(0, 3, 23)
CROSS_ENTROPY = nn.functional.cross_entropy


class TestGradients:
    @pytest.mark.parametrize("batch_size", [5, 1024])
    def test_the_closed_form_is_autograds_one_by_one(self, batch_size):
        module = network()
        expected = one_by_one(module, lambda m: m[4].parameters(), INDEX, CROSS_ENTROPY)
        norms = gradient_norm(TorchTarget(module, CLASSES, batch_size=batch_size), X, INDEX)
        assert norms.dtype == np.float64
        assert np.allclose(norms, expected, rtol=1e-5)

    def test_the_closed_form_is_that_of_records_differentiated_in_bulk(self):
        target, truth = TorchTarget(network().eval(), CLASSES), torch.from_numpy(INDEX)
        with _watched(target.model) as watch:
            target.ask(torch.from_numpy(X))
        bulk = _one_by_one(target, torch.from_numpy(X), truth, watch)
        assert np.allclose(gradient_norm(target, X, INDEX), bulk.detach().numpy(), rtol=1e-5)

    def test_a_layer_without_intercepts_has_none(self):
        module = seeded(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3, bias=False)))
        expected = one_by_one(module, lambda m: m[2].parameters(), INDEX, CROSS_ENTROPY)
        assert np.allclose(gradient_norm(TorchTarget(module, CLASSES), X, INDEX), expected, rtol=1e-5)

    def test_one_logit_for_two_classes(self):
        def loss(output, true):
            return nn.functional.binary_cross_entropy_with_logits(output[:, 0], true.double())

        module, truth = network(1), INDEX % 2
        expected = one_by_one(module, lambda m: m[4].parameters(), truth, loss)
        assert np.allclose(gradient_norm(TorchTarget(module, [0, 1]), X, truth), expected, rtol=1e-5)

    def test_a_regressor_has_half_the_squared_error(self):
        def loss(output, true):
            return (output[:, 0] - true).square().sum() / 2

        module, truth = network(1), RNG.normal(size=23)
        expected = one_by_one(module, lambda m: m[4].parameters(), truth, loss)
        assert np.allclose(gradient_norm(TorchTarget(module), X, truth), expected, rtol=1e-5)

    @pytest.mark.parametrize("kind", [Scaled, Looks])
    def test_a_module_that_goes_on_after_its_last_linear_layer_is_differentiated(self, kind):
        module = seeded(kind)
        expected = one_by_one(module, lambda m: m.head.parameters(), INDEX, CROSS_ENTROPY)
        assert np.allclose(gradient_norm(TorchTarget(module, CLASSES), X, INDEX), expected, rtol=1e-4)

    def test_a_weight_that_is_used_twice_has_both_parts(self):
        module, truth = seeded(Twice), INDEX
        expected = one_by_one(module, lambda m: [m.first.weight, m.last.bias], truth, CROSS_ENTROPY)
        assert np.allclose(gradient_norm(TorchTarget(module, np.arange(5)), X, truth), expected, rtol=1e-4)

    def test_without_linear_layers_the_last_with_weights_counts(self):
        images = RNG.normal(size=(9, 2, 4, 4)).astype(np.float32)
        module = seeded(lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 2), nn.Flatten()))
        expected = one_by_one(module, lambda m: m[2].parameters(), INDEX[:9], CROSS_ENTROPY, images)
        assert np.allclose(gradient_norm(TorchTarget(module, CLASSES), images, INDEX[:9]), expected, rtol=1e-4)

    def test_a_sure_and_right_answer_has_hardly_a_gradient_and_a_wrong_one_has(self):
        module = nn.Linear(5, 3)
        with torch.no_grad():
            module.weight.zero_()
            module.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))
        right, wrong = (gradient_norm(TorchTarget(module, CLASSES), X, np.full(23, index)) for index in (0, 1))
        assert right.max() < 1e-11
        assert np.allclose(wrong, np.sqrt(2) * np.sqrt((X.astype(float) ** 2).sum(axis=1) + 1))

    def test_last_features_are_what_the_last_layer_is_given(self):
        module = network()
        features = last_features(TorchTarget(module, CLASSES, batch_size=4), X)
        with torch.no_grad():
            expected = copy.deepcopy(module).eval()[:4](torch.from_numpy(X)).numpy()
        assert features.dtype == np.float64
        assert np.allclose(features, expected, atol=1e-6)

    def test_what_cannot_be_had_is_refused(self):
        with pytest.raises(ModelError, match=r"no nn\.Linear"):
            last_features(TorchTarget(nn.Flatten(), np.arange(5)), X)
        with pytest.raises(ModelError, match="no layer with weights"):
            gradient_norm(TorchTarget(nn.Flatten(), np.arange(5)), X, INDEX)
        with pytest.raises(ModelError, match="one label a record"):
            gradient_norm(TorchTarget(network(), CLASSES), X, INDEX[:3])
        table = X.copy()
        table[0, 0] = np.nan
        with pytest.raises(ModelError, match="for 1 of 23 records"):
            gradient_norm(TorchTarget(network(), CLASSES), table, INDEX)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


class TestFiles:
    def save(self, path, weights):
        if path.suffix == ".safetensors":
            pytest.importorskip("safetensors.torch").save_file(weights, path)
        else:
            torch.save(weights, path)
        return path

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
    def test_weights_are_loaded_into_what_the_factory_builds(self, tmp_path, suffix):
        module = network()
        path = self.save(tmp_path / f"model{suffix}", module.state_dict())
        with torch.random.fork_rng():
            target = load_torch(path, lambda: copy.deepcopy(module).apply(_forget), CLASSES)
        assert np.array_equal(target.answer(X).log_probs, TorchTarget(module, CLASSES).answer(X).log_probs)

    @pytest.mark.parametrize("content", [Bomb(), nn.Linear(2, 3), {"weight": Bomb()}])
    def test_a_pickled_module_or_object_is_refused_and_never_run(self, tmp_path, content):
        with pytest.raises(ModelError, match=r"torch\.save\(model\.state_dict\(\), path\)") as refusal:
            load_torch(self.save(tmp_path / "model.pt", content), lambda: nn.Linear(2, 3), CLASSES)
        assert "\n" not in str(refusal.value)

    def test_a_checkpoint_around_a_state_dict_is_refused_with_what_is_in_it(self, tmp_path):
        path = self.save(tmp_path / "model.pt", {"epoch": 3, "model": network().state_dict()})
        with pytest.raises(ModelError, match="a checkpoint with epoch, model"):
            load_torch(path, network, CLASSES)

    def test_missing_unexpected_and_misshapen_weights_are_one_sentence(self, tmp_path):
        weights = network(4).state_dict()
        weights["extra"] = weights.pop("0.weight")
        with pytest.raises(ModelError) as refusal:
            load_torch(self.save(tmp_path / "model.pt", weights), network, CLASSES)
        assert str(refusal.value) == (
            "model.pt does not fit the module: 1 of its 9 tensors missing (0.weight), 2 of its 9 tensors of another "
            "shape (4.weight (4, 7) for (3, 7), 4.bias (4,) for (3,)), 1 that it has not (extra); build the module as "
            "it was trained."
        )

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    @pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
    def test_an_empty_or_truncated_file_is_refused(self, tmp_path, suffix, share):
        path = self.save(tmp_path / f"model{suffix}", network().state_dict())
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises((ModelError, DataError), match=path.name) as refusal:
            load_torch(path, network, CLASSES)
        assert "\n" not in str(refusal.value)

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "model.bin").write_text("x")
        with pytest.raises(ModelError, match=r"\.safetensors, \.pt and \.pth"):
            load_torch(tmp_path / "model.bin", network, CLASSES)
        with pytest.raises(DataError, match="there is no file"):
            load_torch(tmp_path / "none.pt", network, CLASSES)

    def test_a_factory_that_raises_or_builds_something_else_is_named(self, tmp_path):
        def bursts():
            raise ValueError(SECRET)

        path = self.save(tmp_path / "model.pt", network().state_dict())
        with pytest.raises(TargetFailed, match="ValueError") as refusal:
            load_torch(path, bursts, CLASSES)
        assert SECRET not in str(refusal.value)
        with pytest.raises(ModelError, match="got dict"):
            load_torch(path, dict, CLASSES)


def _forget(part):
    if hasattr(part, "reset_parameters"):
        part.reset_parameters()
