"""A Trainer with the alignment term takes the steps that a plain loop takes."""

import pytest
import torch
from torch.nn import functional as F

import dralign
from dralign.errors import DataError, ModelError, OptionError

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from dralign.integrations.transformers import AlignmentTerm, AlignmentTrainerMixin  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # those of other packages
BETA = 0.3


class AlignedTrainer(AlignmentTrainerMixin, transformers.Trainer):
    """Remembers its batches, because Trainer shuffles."""

    def compute_loss(self, model, inputs, *args, **options):
        self.seen = [*getattr(self, "seen", []), inputs]
        return super().compute_loss(model, inputs, *args, **options)


def bert(num_labels=2):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=12, max_position_embeddings=16, num_labels=num_labels,
        attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config).train()


def rows(n=16):
    draw = torch.Generator().manual_seed(1)
    words = torch.randint(30, (n, 5), generator=draw)
    return [
        {"input_ids": ids, "labels": int(ids[0] > 15), "group": at % 2}
        for at, ids in enumerate(words)
    ]


def trainer(model, folder, *, data=None, term=None, own_loss=None, **options):
    given = {
        "remove_unused_columns": False, "max_steps": 1, "per_device_train_batch_size": 16,
        "report_to": [], "save_strategy": "no", "use_cpu": True, "optim": "sgd",
        "learning_rate": 1.0, "lr_scheduler_type": "constant", "max_grad_norm": 0.0,
        "disable_tqdm": True, **options,
    }  # fmt: skip
    return AlignedTrainer(
        model,
        transformers.TrainingArguments(str(folder), **given),
        train_dataset=rows() if data is None else data,
        compute_loss_func=own_loss,
        alignment=term or AlignmentTerm(n_groups=2, weight=BETA),
    )


def step_taken(model, before):
    return {name: before[name] - p.detach() for name, p in model.named_parameters()}


def expected_step(batches, *, by_label):
    """The gradient of a step over batches of 16 rows: mean cross-entropy, and the mean of terms."""
    model, total = bert(), 0
    for batch in batches:
        label, group = batch["labels"], batch["group"]
        logits = model(input_ids=batch["input_ids"]).logits
        losses = F.cross_entropy(logits, label, reduction="none")
        strata = dralign.group_losses(losses, group, n_groups=2, label=label if by_label else None)
        term = dralign.RationaleAlignment(model).align(strata)
        total = total + losses.sum() / 16 + BETA * term / len(batches)
    total.backward()
    return {name: p.grad for name, p in model.named_parameters()}


def summed(outputs, labels, num_items_in_batch):
    """The task's loss as ``compute_loss_func`` is to give it."""
    return F.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


@pytest.mark.parametrize("own_loss", [None, summed])
@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_is_that_of_a_plain_loop_whatever_parts_it_is_made_of(
    tmp_path, parts, by_label, own_loss
):
    model = bert()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    made = trainer(
        model,
        tmp_path,
        term=AlignmentTerm(n_groups=2, weight=BETA, by_label=by_label),
        own_loss=own_loss,
        per_device_train_batch_size=16 // parts,
        gradient_accumulation_steps=parts,
    )
    made.train()
    assert len(made.seen) == parts
    wanted = expected_step(made.seen, by_label=by_label)
    for name, step in step_taken(model, before).items():
        if wanted[name] is not None:
            torch.testing.assert_close(step, wanted[name], atol=2e-6, rtol=1e-4)


def test_evaluation_and_prediction_need_no_group_and_have_no_term(tmp_path):
    model = bert()
    made = trainer(model, tmp_path)
    without = [{k: v for k, v in row.items() if k != "group"} for row in rows()]
    model.eval()
    label = torch.tensor([row["labels"] for row in rows()])
    logits = model(input_ids=torch.stack([row["input_ids"] for row in rows()])).logits
    expected = F.cross_entropy(logits, label).item()
    for data in (rows(), without):
        assert made.evaluate(data)["eval_loss"] == pytest.approx(expected, abs=1e-6)
    assert made.predict(rows()).predictions.shape == (16, 2)
    unlabelled = [{"input_ids": row["input_ids"], "group": row["group"]} for row in rows()]
    assert made.predict(unlabelled).predictions.shape == (16, 2)


def test_a_trainer_that_would_drop_the_group_column_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"drops the column 'group'.*remove_unused_columns=False"):
        trainer(bert(), tmp_path, remove_unused_columns=True)


@pytest.mark.parametrize(
    ("missing", "line"),
    [("group", "no column 'group' of group codes"), ("labels", "no column 'labels'")],
)
def test_a_batch_without_its_group_or_label_is_refused(tmp_path, missing, line):
    model = bert()
    made = trainer(model, tmp_path)
    batch = {"input_ids": torch.ones(4, 5, dtype=torch.long), "labels": torch.tensor([0, 1, 0, 1]),
             "group": torch.tensor([0, 0, 1, 1]), "inputs_embeds": None}  # fmt: skip
    del batch[missing]

    class Quiet(torch.nn.Module):
        def forward(self, **_):
            return {"loss": torch.zeros(()), "logits": torch.zeros(4, 2)}

    with pytest.raises(DataError, match=line):
        made.compute_loss(Quiet().train(), batch)


def test_a_network_of_one_output_is_refused(tmp_path):
    made = trainer(bert(num_labels=1), tmp_path)
    with pytest.raises(ModelError, match="one output, a regression"):
        made.train()
