"""A LightningModule with the mixin takes the steps that a plain loop takes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dralign

lightning = pytest.importorskip("lightning", reason="lightning is not installed")

from dralign.integrations.lightning import AlignmentMixin, AlignmentTerm, RowLosses  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # those of other packages
BETA = 0.3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


class Aligned(AlignmentMixin, lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = network()
        self.alignment = AlignmentTerm(n_groups=2, weight=BETA)

    def row_losses(self, batch):
        x, y, group = batch
        losses = F.binary_cross_entropy_with_logits(self.net(x)[:, 0], y.float(), reduction="none")
        return RowLosses(losses, group)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


def table():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(32, 4, generator=draw)
    return torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long(), torch.arange(32) % 2)


def fitted(module, **options):
    given = {"max_epochs": 2, "accelerator": "cpu", "logger": False, **options}
    trainer = lightning.Trainer(
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **given
    )
    trainer.fit(module, torch.utils.data.DataLoader(table(), batch_size=16))
    return trainer


@pytest.mark.parametrize("clip", [None, 0.1])
def test_a_fit_is_that_of_a_plain_loop(clip):
    module = Aligned()
    trainer = fitted(module, gradient_clip_val=clip)
    net = network()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(2):
        for x, y, group in torch.utils.data.DataLoader(table(), batch_size=16):
            losses = F.binary_cross_entropy_with_logits(net(x)[:, 0], y.float(), reduction="none")
            strata = dralign.group_losses(losses, group, n_groups=2)
            optimiser.zero_grad()
            (losses.mean() + BETA * dralign.RationaleAlignment(net).align(strata)).backward()
            if clip:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimiser.step()
    for own, expected in zip(module.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-5)
    assert -2 * BETA <= trainer.callback_metrics["alignment"] <= 0


def test_a_module_that_does_not_say_its_losses_is_named():
    class Silent(Aligned):
        row_losses = AlignmentMixin.row_losses

    with pytest.raises(NotImplementedError, match="Silent has no row_losses"):
        fitted(Silent())
