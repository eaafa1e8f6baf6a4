"""Training takes batches of an iterable, such as a DataLoader, as they come."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from dralign.data import Split
from dralign.errors import DataError, GroupError, OptionError
from dralign.methods import Adjusting, method_names, method_type
from dralign.training import Checkpoints, TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, perceptron, split

SHORT = TrainingSettings(epochs=2, iterations=3)
DATA = dataset()
NONE = Split(torch.zeros(0, 6), torch.zeros(0).long(), torch.zeros(0).long())
TAKEN = [name for name in method_names() if not isinstance(method_of(name), Adjusting)]


def loader(rows=DATA.train, *, size=50):
    return DataLoader(TensorDataset(rows.x, rows.y, rows.group), batch_size=size)


class Told:
    """Batches that remember the numbers of their passes."""

    def __init__(self, batches):
        self.batches, self.passes = batches, []

    def set_epoch(self, epoch):
        self.passes.append(epoch)

    def __iter__(self):
        return iter(self.batches)


def test_a_batch_is_a_step_of_the_task_loss_on_its_rows():
    """An oracle of a few lines takes the same steps."""
    model, own = perceptron(), perceptron()
    train(model, replace(DATA, train=NONE), method_of("erm"), SHORT, batches=loader())
    adam = torch.optim.Adam(own.parameters(), lr=SHORT.learning_rate, fused=True)
    for x, y, _ in loader():
        loss = torch.nn.functional.binary_cross_entropy_with_logits(own(x)[:, 0], y.float())
        adam.zero_grad()
        loss.backward()
        adam.step()
    for one, other in zip(model.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TAKEN)
def test_every_method_goes_on_where_a_batch_lacks_a_group(name):
    """A batch of one group, a batch of one label, and a mixed one."""
    rows = DATA.train
    some = [rows.at((rows.group == 0).nonzero()[:40, 0])]
    some += [rows.at((rows.y == 1).nonzero()[:40, 0]), rows.at(torch.arange(60))]
    for gap in {"demographic_parity", "equalized_odds"} & {*method_type(name).supported_gaps()}:
        model = perceptron()
        before = model[0].weight.detach().clone()
        done = train(model, DATA, method_of(name, gap=gap), SHORT, batches=some)
        assert not torch.equal(before, model[0].weight)
        assert len(done.history) == 2


def test_groups_absent_from_a_batch_are_counted():
    rows = DATA.train
    one = [rows.at((rows.group == 0).nonzero()[:40, 0])]
    done = train(perceptron(), DATA, method_of("gap", fairness_weight=0.5), SHORT, batches=one)
    assert [record.skipped for record in done.history] == [3, 3]
    done = train(perceptron(), DATA, method_of("gap", fairness_weight=0.5), SHORT, batches=loader())
    assert [record.skipped for record in done.history] == [0, 0]


def test_the_iterable_is_gone_through_again_and_told_the_number_of_the_pass():
    """Six steps on passes of four batches."""
    batches = Told(loader(split(200), size=50))
    train(perceptron(), DATA, method_of("erm"), SHORT, batches=batches)
    assert batches.passes == [0, 1]


def test_an_iterable_that_runs_out_is_refused_in_one_line():
    with pytest.raises(DataError, match="batches: nothing came in pass 2; give an iterable that"):
        train(perceptron(), DATA, method_of("erm"), SHORT, batches=iter([*loader()][:2]))
    with pytest.raises(DataError, match="batches: nothing came in pass 1"):
        train(perceptron(), DATA, method_of("erm"), SHORT, batches=[])


X, Y, G = DATA.train.at(torch.arange(4))


@pytest.mark.parametrize(
    ("batch", "error", "told"),
    [
        ((X, Y), DataError, "expected each to be inputs, labels and group codes, got 'tuple'"),
        ({"x": X}, DataError, "expected each to be .* got 'dict'"),
        ((X, Y[:3], G), DataError, r"as many inputs, labels and groups.* got 4, \(3,\) and \(4,\)"),
        ((X[:0], Y[:0], G[:0]), DataError, "at least one, got 0"),
        ((X, Y.float(), G), DataError, "labels as int64 codes from 0 to 1, got torch.float32"),
        ((X, Y + 1, G), DataError, "labels as int64 codes from 0 to 1, got .* to 2"),
        ((X, Y, G + 1), GroupError, "groups as int64 codes from -1 to 1, got .* to 2"),
    ],
)
def test_what_is_no_batch_is_refused_in_one_line(batch, error, told):
    with pytest.raises(error, match=f"batches: .*{told}") as raised:
        train(perceptron(), DATA, method_of("gap", fairness_weight=0.1), SHORT, batches=[batch])
    assert "\n" not in str(raised.value)


WEIGHTED = replace(DATA, test=replace(DATA.test, weight=torch.ones(300, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"settings": replace(SHORT, batch_size=9)}, "a size of their own; leave out batch_size 9"),
        ({"checkpoints": Checkpoints("nowhere")}, "can't go on in the middle of an iterable"),
        ({"dataset": WEIGHTED}, "their rows have no weights"),
        ({"method": method_of("plugin")}, "'plugin' needs all training rows at once"),
    ],
)
def test_what_batches_can_not_go_with_is_refused_in_one_line(given, told):
    arguments = {"dataset": DATA, "method": method_of("erm"), "settings": SHORT, **given}
    with pytest.raises(OptionError, match=f"^batches: .*{told}"):
        train(perceptron(), **arguments, batches=loader())
