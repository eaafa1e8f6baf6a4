"""Networks that take several tensors, by position or by keyword, through every door."""

import copy
import math
import warnings
from collections import UserDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.auditing import audit
from dralign.errors import DataError, DralignWarning, ModelError
from dralign.rationale import logits, parity_scores
from dralign.rationale.inputs import Bundle, bundled, numbers_of_a_row, one_tensor
from dralign.training.evaluation import predict_probability

ROWS = 24


class Output(dict):
    """What classifiers of transformers return: a dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> object:
        return self[name]


class Encoder(nn.Module):
    """Three numbers and two codes to a hidden state, which it returns in an object."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.into = nn.Embedding(5, 2), nn.Linear(7, 6)

    def forward(self, numbers: Tensor, codes: Tensor) -> Output:
        joined = torch.cat([numbers, self.words(codes).flatten(1)], dim=1)
        return Output(state=torch.tanh(self.into(joined)))


class Joined(nn.Module):
    """Takes numbers and codes in one tensor: what the other forms are compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle, self.head = Encoder(), nn.Linear(6, 4), nn.Linear(4, 1)

    def ends(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.head(torch.tanh(self.middle(self.encoder(numbers, codes).state)))

    def forward(self, x: Tensor) -> Tensor:
        return self.ends(x[:, :3], x[:, 3:].long())


class ByPosition(Joined):
    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.ends(numbers, codes)


class ByKeyword(Joined):
    def forward(self, *, numbers: Tensor, codes: Tensor) -> Output:
        return Output(loss=None, logits=self.ends(numbers, codes))


def rows() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(ROWS, 3, generator=generator, dtype=torch.float64)
    codes = torch.randint(5, (ROWS, 2), generator=generator)
    x = torch.cat([numbers, codes.double()], dim=1)
    return x, torch.arange(ROWS) // 2 % 2, torch.arange(ROWS) % 2


def form(name: str) -> tuple[nn.Module, object]:
    """A network of the same weights, and the same rows as it takes them."""
    torch.manual_seed(0)
    x, *_ = rows()
    numbers, codes = x[:, :3], x[:, 3:].long()
    match name:
        case "joined":
            return Joined().double(), x
        case "tuple":
            return ByPosition().double(), (numbers, codes)
        case "dict":
            return ByKeyword().double(), {"codes": codes, "numbers": numbers}
        case "arrays":
            return ByKeyword().double(), UserDict(codes=codes.numpy(), numbers=numbers.numpy())
    raise AssertionError(name)


every_form = pytest.mark.parametrize("name", ["tuple", "dict", "arrays"])


@every_form
@pytest.mark.parametrize("options", [{}, {"micro_batch": 7}, {"gap": "equalized_odds"}])
def test_the_step_is_that_of_the_network_with_one_input(name, options):
    _, y, group = rows()
    results = []
    for each in ("joined", name):
        model, x = form(each)
        value = aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1, fairness_weight=0.3, **options,
        )  # fmt: skip
        results.append([value, *(p.grad for p in model.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)


@every_form
@pytest.mark.parametrize("method", ["ablation", "taylor"])
def test_scores_are_those_of_the_network_with_one_input(name, method):
    """What ends before a layer is replayed: nothing had to fall back on whole runs."""
    _, y, group = rows()
    results = []
    for each in ("joined", name):
        model, x = form(each)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DralignWarning)
            results.append(parity_scores(model, x, y, group=group, method=method, batch_rows=9))
    for layer, by_group in results[0].influences.items():
        for code, influences in by_group.items():
            np.testing.assert_allclose(
                results[1].influences[layer][code], influences, rtol=1e-9, atol=1e-18
            )


def test_exact_scores_are_those_of_a_copy_with_a_zero():
    _, y, group = rows()
    model, x = form("dict")
    scores = parity_scores(model, x, y, group=group)
    with torch.no_grad():
        removed = copy.deepcopy(model)
        removed.middle.weight[2, 3] = 0
        losses = [
            nn.functional.binary_cross_entropy_with_logits(
                each(**x).logits[:, 0], y.double(), reduction="none"
            )
            for each in (model, removed)
        ]
    for code in (0, 1):
        change = (losses[1] - losses[0])[group == code].mean().item()
        assert scores.influences["middle"][code][2, 3] == pytest.approx(change**2, rel=1e-9)


@every_form
def test_an_audit_is_that_of_the_network_with_one_input(name):
    _, y, group = rows()
    results = []
    for each in ("joined", name):
        model, x = form(each)
        whole = audit(
            model, x, y, group=group, n_splits=20, n_bootstrap=20, min_group_size=1
        ).to_dict()
        results.append({key: x for key, x in whole.items() if key != "provenance"})
    assert_alike(*results)


def assert_alike(ours: object, theirs: object) -> None:
    """Forms of JSON that are equal but for rounding."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_alike(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_alike(one, other)
    elif isinstance(ours, float):
        assert math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-12)
    else:
        assert ours == theirs


@every_form
def test_probabilities_are_those_of_the_network_with_one_input(name):
    expected = torch.sigmoid(form("joined")[0](rows()[0]))[:, 0].float()
    torch.testing.assert_close(predict_probability(*form(name)), expected)


def test_rows_of_no_group_are_left_out_of_every_tensor():
    _, y, group = rows()
    model, x = form("dict")
    known = torch.arange(ROWS) < 16
    some = parity_scores(model, x, y, group=torch.where(known, group, -1), method="taylor")
    cut = {key: values[known] for key, values in x.items()}
    fewer = parity_scores(model, cut, y[known], group=group[known], method="taylor")
    assert some.total == fewer.total


def test_a_tuple_of_one_tensor_is_that_tensor():
    x = rows()[0]
    assert bundled((x,)) is x
    assert bundled(x) is x
    assert bundled([[1.0], [2.0]]) == [[1.0], [2.0]]
    assert bundled(((1.0,), (2.0,))) == ((1.0,), (2.0,))


def test_floating_inputs_get_the_dtype_of_the_network_and_codes_keep_theirs():
    _, y, group = rows()
    model, x = form("dict")
    x["numbers"] = x["numbers"].float()
    parity_scores(model, x, y, group=group, method="taylor", layers=1)
    assert x["numbers"].dtype == torch.float32


def test_a_bundle_tells_its_rows_and_their_size():
    both = bundled({"ids": torch.zeros(5, 7), "seen": torch.ones(5)})
    assert (len(both), len(both[1:3]), numbers_of_a_row(both)) == (5, 2, 8)
    assert [len(block) for block in both.split(2)] == [2, 2, 1]
    assert numbers_of_a_row(torch.zeros(5)) == 1


WRONG = {
    "lengths": ({"ids": torch.zeros(5, 2), "mask": torch.zeros(4)}, r"'mask'\]: expected 5 rows"),
    "by position": ((torch.zeros(5), torch.zeros(3)), r"x\[1\]: expected 5 rows as in x\[0\]"),
    "one number": ({"ids": torch.zeros(5, 2), "t": torch.tensor(1)}, r"x\['t'\]: expected 5 rows"),
    "text": ({"ids": np.array(["a"])}, r"x\['ids'\]: expected an array of numbers, got <U1"),
    "nothing": ({}, "expected at least one tensor, got an empty dict"),
}


@pytest.mark.parametrize("case", WRONG)
def test_tensors_that_are_no_rows_together_are_refused_in_one_line(case):
    given, line = WRONG[case]
    model, _ = form("dict")
    y = group = torch.arange(5) % 2
    with pytest.raises(DataError, match=line):
        parity_scores(model, given, y, group=group)
    with pytest.raises(DataError, match=line):
        aligned_backward(
            model, given, label=y, group=group, n_groups=2,
            alignment=RationaleAlignment(model), alignment_weight=0.1,
        )  # fmt: skip


def test_a_name_that_the_network_does_not_take_is_one_line():
    _, y, group = rows()
    model, x = form("dict")
    with pytest.raises(DataError, match=r"rows of shapes 'codes' \(2,\), 'figures' \(3,\): .*figu"):
        parity_scores(model, {"codes": x["codes"], "figures": x["numbers"]}, y, group=group)


def test_what_computes_with_inputs_refuses_several():
    with pytest.raises(ModelError, match="mixup: needs inputs of one tensor, got 2"):
        one_tensor(bundled((torch.zeros(2), torch.zeros(2))), "mixup")


def test_outputs_are_found_in_what_the_network_returns():
    model, x = form("dict")
    assert logits(model, Bundle(x)).shape == (ROWS, 1)
