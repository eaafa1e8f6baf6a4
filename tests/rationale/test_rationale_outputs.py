"""What networks return: logits in objects, and probabilities where logits are expected."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.auditing import audit
from dralign.data.dataset import Dataset, Split
from dralign.errors import DataError, DralignWarning, GroupError, ModelError
from dralign.methods import build_method
from dralign.rationale import group_losses, logits, logits_in, parity_scores, per_sample_loss
from dralign.training import TrainingSettings, train
from synthetic import crossed_rows


def dataset(*, label: int = 0, group: int = 0) -> Dataset:
    x, y, a = crossed_rows(dtype=torch.float32)
    split = Split(x, y + label, a + group)
    return Dataset("toy", "none", split, split, split, ("a", "b"), ("g",), "y", "1")


def through_term(model: nn.Module) -> None:
    x, y, group = crossed_rows(dtype=torch.float32)
    losses = per_sample_loss(logits(model, x), y)
    RationaleAlignment(model).align(group_losses(losses, group, n_groups=2))


def through_step(model: nn.Module) -> None:
    x, y, group = crossed_rows(dtype=torch.float32)
    aligned_backward(
        model, x, label=y, group=group, n_groups=2,
        alignment=RationaleAlignment(model), alignment_weight=0.1,
    )  # fmt: skip


def through_scores(model: nn.Module) -> None:
    x, y, group = crossed_rows(dtype=torch.float32)
    parity_scores(model, x, label=y, group=group)


def through_audit(model: nn.Module) -> None:
    x, y, group = crossed_rows(dtype=torch.float32)
    audit(model, x, label=y, group=group, n_splits=20, n_bootstrap=20, min_group_size=0)


def through_training(model: nn.Module) -> None:
    settings = TrainingSettings(epochs=1, iterations=2, learning_rate=1e-3, batch_size=6)
    train(model, dataset(), build_method("erm"), settings)


DOORS = (through_term, through_step, through_scores, through_audit, through_training)
every_door = pytest.mark.parametrize("door", DOORS)


class Functional(nn.Module):
    """A network that ends in a function, not a module, whose column is then taken."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(x))[:, 0]


SQUASHED = {
    "Sigmoid": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1), nn.Sigmoid()),
    "Softmax": lambda: nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1), nn.Identity()),
    "Sigmoid of a function": Functional,
}


@every_door
@pytest.mark.parametrize("case", SQUASHED)
def test_a_network_that_ends_in_probabilities_is_told_so_once(case, door):
    torch.manual_seed(0)
    model = SQUASHED[case]()
    with pytest.warns(DralignWarning, match=f"^the network ends in {case.split()[0]}; dralign ex"):
        door(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        door(model)


@every_door
def test_squashing_elsewhere_and_log_softmax_are_no_reason_for_a_warning(door):
    """The softmax of log-probabilities is that of the logits: nothing is lost."""
    torch.manual_seed(0)
    hidden = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 1))
    log = nn.Sequential(nn.Linear(4, 2), nn.LogSoftmax(dim=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        door(hidden)
        door(log)
    x, y, _ = crossed_rows(dtype=torch.float32)
    torch.testing.assert_close(per_sample_loss(log(x), y), per_sample_loss(log[0](x), y))


def test_the_term_says_nothing_where_the_losses_are_of_probabilities():
    """Whoever takes the cross-entropy of probabilities gives the term the right losses."""
    torch.manual_seed(0)
    model, (x, y, group) = SQUASHED["Sigmoid"](), crossed_rows(dtype=torch.float32)
    losses = nn.functional.binary_cross_entropy(model(x)[:, 0], y.float(), reduction="none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RationaleAlignment(model).align(group_losses(losses, group, n_groups=2))


def test_a_frozen_network_is_looked_at_too_and_stays_frozen():
    model = SQUASHED["Sigmoid"]().requires_grad_(requires_grad=False)
    with pytest.warns(DralignWarning, match="ends in Sigmoid"):
        through_scores(model)
    assert not any(p.requires_grad for p in model.parameters())


class Squashes(torch.autograd.Function):
    """A sigmoid that autograd's graph does not tell."""

    @staticmethod
    def forward(ctx, z: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-z))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


class ByHand(nn.Module):
    """A network of probabilities that are computed by hand."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        z = 4 * self.head(x)
        return Squashes.apply(z) if z.shape[1] == 1 else z.exp() / z.exp().sum(1, keepdim=True)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_outputs_that_all_lie_between_0_and_1_are_told_where_nothing_else_tells(n_outputs):
    torch.manual_seed(0)
    x, y, group = crossed_rows(120, dtype=torch.float32)
    model = ByHand(n_outputs)
    line = (
        r"^all outputs of the network lie in \[0, 1\], as probabilities do; dralign expects logits"
    )
    with pytest.warns(DralignWarning, match=line):
        parity_scores(model, x, y, group=group, method="taylor")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        parity_scores(model, x, y, group=group, method="taylor")  # once for a network
        model = ByHand(n_outputs)
        parity_scores(model.head, x, y, group=group, method="taylor")


class Returns(nn.Module):
    """A linear network whose output is put into something."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.head, self.wrap = nn.Linear(4, 1), wrap

    def forward(self, x: Tensor) -> object:
        return self.wrap(self.head(x))


@every_door
@pytest.mark.parametrize(
    "wrap", [lambda z: SimpleNamespace(logits=z), lambda z: {"logits": z, "hidden": None}]
)
def test_logits_in_an_object_or_dict_are_taken(door, wrap):
    torch.manual_seed(0)
    door(Returns(wrap))


@every_door
@pytest.mark.parametrize("wrap", [lambda z: (z, None), lambda z: {"scores": z}, lambda z: None])
def test_an_output_without_logits_is_refused_in_one_line(door, wrap):
    kind = type(wrap(torch.zeros(1))).__name__
    with pytest.raises(ModelError, match=f"returns a {kind}; expected a tensor of logits"):
        door(Returns(wrap))


def test_a_tensor_is_its_own_logits():
    value = torch.ones(2)
    assert logits_in(value) is value


@pytest.mark.parametrize("error", [ValueError("no padding token"), KeyError("mask"), TypeError()])
def test_whatever_the_network_raises_is_one_line(error):
    class Raises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            raise error

    reason = str(error) or "TypeError"
    with pytest.raises(DataError, match=rf"can't run on rows of shape \(4,\): {reason}"):
        through_scores(Raises())


def test_an_embedding_bag_gets_its_codes_as_whole_numbers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(9, 3), nn.Linear(3, 8))
    _, y, group = crossed_rows(dtype=torch.float32)
    scores = parity_scores(
        model, torch.randint(9, (24, 4)).numpy(), label=y, group=group, layers=["1"]
    )
    assert scores.total > 0


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_dataset_refuses_labels_and_groups_that_are_no_codes(shift):
    with pytest.raises(DataError, match=rf"train labels: expected codes from 0 to 1, got {shift}"):
        dataset(label=shift)
    with pytest.raises(GroupError, match="train groups: expected codes from -1 to 1, got"):
        dataset(group=2 * shift)
