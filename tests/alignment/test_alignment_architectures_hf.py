"""Classifiers of other packages through every door: from configurations, nothing is downloaded."""

import copy
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dralign._torchvision import vision_models
from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.auditing import audit
from dralign.errors import DataError, DralignWarning, ModelError
from dralign.rationale import group_losses, logits, parity_scores, per_sample_loss, select_layers

WORDS, LENGTH, ROWS = 30, 5, 24


def _transformers():
    """The package, after torchvision, which it imports too, was brought in as our own code does."""
    with suppress(ModelError):
        vision_models()
    return pytest.importorskip("transformers", reason="transformers is not installed")


def bert(**options) -> nn.Module:
    package = _transformers()
    sizes = {
        "vocab_size": WORDS, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "max_position_embeddings": 16, "num_labels": 2,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    return package.BertForSequenceClassification(package.BertConfig(**sizes | options))


def gpt2(**options) -> nn.Module:
    package = _transformers()
    sizes = {
        "vocab_size": WORDS, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16,
        "num_labels": 2, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    return package.GPT2ForSequenceClassification(package.GPT2Config(**sizes | options))


class Tabular(nn.Module):
    """An FT-Transformer on three numbers and two codes in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        package = pytest.importorskip(
            "rtdl_revisiting_models", reason="rtdl_revisiting_models is not installed"
        )
        self.net = package.FTTransformer(
            n_cont_features=3, cat_cardinalities=[4, 5], d_out=1, n_blocks=1, d_block=8,
            attention_n_heads=2, attention_dropout=0.0, ffn_d_hidden=None,
            ffn_d_hidden_multiplier=1.5, ffn_dropout=0.0, residual_dropout=0.0,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, :3], x[:, 3:].long())


class Recurrent(nn.Module):
    """Words through an embedding and a recurrent layer."""

    def __init__(self, make) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(WORDS, 6), make(6, 7, batch_first=True)
        self.head = nn.Linear(7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0][:, -1])


NETWORKS = {
    "BERT": bert,
    "GPT-2": gpt2,
    "FT-Transformer": Tabular,
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def case(name: str) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A network in evaluation mode (GPT-2 and BERT have dropout), and rows of two groups."""
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, WORDS, (ROWS, LENGTH), generator=generator)
    if name == "FT-Transformer":
        x = torch.cat([torch.randn(ROWS, 3, generator=generator), (x[:, :2] % 4).float()], dim=1)
    return model, x, torch.arange(ROWS) // 2 % 2, torch.arange(ROWS) % 2


@every_network
@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_the_fast_step_has_the_gradient_of_the_plain_term(name, granularity):
    model, x, y, group = case(name)
    model = model.double()
    x = x.double() if x.is_floating_point() else x
    term = RationaleAlignment(model, granularity=granularity)
    with sdpa_kernel(SDPBackend.MATH):
        losses = per_sample_loss(logits(model, x), y)
        (losses.mean() + 0.1 * term.align(group_losses(losses, group, n_groups=2))).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    aligned_backward(
        model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.1
    )
    largest = max(float(grad.abs().max()) for grad in expected.values() if grad is not None)
    for key, parameter in model.named_parameters():
        if expected[key] is None:
            assert parameter.grad is None or not parameter.grad.any()
            continue
        # What is 0 but for rounding, as the gradient of a key's bias, has no digits to compare.
        scale = expected[key].abs().max().clamp(min=1e-6 * largest)
        torch.testing.assert_close(
            parameter.grad / scale, expected[key] / scale, rtol=0, atol=1e-8, msg=key
        )


@every_network
def test_the_share_of_weights_that_take_part_is_all_but_the_embeddings(name):
    model, *_ = case(name)
    held = {
        id(p): p.numel()
        for module in model.modules()
        if "Embedding" in type(module).__name__
        for p in module.parameters(recurse=False)
        if p.ndim > 1
    }
    weights = {
        id(p): p.numel()
        for name, p in model.named_parameters()
        if p.ndim > 1 and "Norm" not in name
    }
    share = 1 - sum(held.values()) / sum(weights.values())
    assert RationaleAlignment(model).coverage == pytest.approx(share, abs=0.03)


@every_network
def test_exact_scores_are_those_of_copies_with_a_zero(name):
    model, x, y, group = case(name)
    chosen = [select_layers(model)[at].name for at in (0, -2, -1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        scores = parity_scores(model, x, label=y, group=group, layers=chosen, sample=4)
    assert scores.engine == "plain"
    layers = {layer.name: layer for layer in select_layers(model)}
    with torch.no_grad():
        base = per_sample_loss(logits(model, x), y)
        for key, by_group in scores.influences.items():
            for place in np.argwhere(np.isfinite(by_group[0])):
                removed = copy.deepcopy(model)
                weight = removed.get_parameter(layers[key].parameter)
                weight[tuple(place.tolist())] = 0
                change = per_sample_loss(logits(removed, x), y) - base
                for code in (0, 1):
                    expected = change[group == code].double().mean() ** 2
                    assert by_group[code][tuple(place)] == pytest.approx(
                        expected.item(), rel=1e-2, abs=1e-13
                    )


@every_network
def test_an_audit_runs_from_end_to_end(name):
    model, x, y, group = case(name)
    before = copy.deepcopy(model.state_dict())
    found = audit(model, x, label=y, group=group, layers=2, n_splits=20, n_bootstrap=20, sample=2)
    assert 0 < found.provenance["coverage"] < 1
    assert "rationales cover" in str(found)
    assert len(found.what_if) > 1
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["BERT", "GPT-2"])
def test_a_dict_of_words_and_mask_is_taken_by_step_scores_and_audit(name):
    model, x, y, group = case(name)
    given = {"input_ids": x, "attention_mask": torch.ones_like(x)}
    results = []
    for inputs in (x, given):
        model.zero_grad()
        value = aligned_backward(
            model, inputs, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1,
        )  # fmt: skip
        grad = next(layer for layer in select_layers(model)).parameter
        scores = parity_scores(model, inputs, y, group=group, layers=2, sample=4)
        found = audit(model, inputs, y, group=group, parts=["outcomes"], n_bootstrap=20)
        gap = found.outcomes.gaps["soft_demographic_parity"].value
        results.append((value, model.get_parameter(grad).grad, scores.total, gap))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("make", [bert, gpt2])
def test_fused_attention_is_one_line_and_eager_attention_works(make):
    x, y, group = (
        torch.randint(1, WORDS, (8, LENGTH)),
        torch.arange(8) // 2 % 2,
        torch.arange(8) % 2,
    )
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = make(attn_implementation=attention).eval()
        losses = per_sample_loss(logits(model, x), y)
        value = RationaleAlignment(model).align(group_losses(losses, group, n_groups=2))
        if attention == "eager":
            value.backward()
        else:
            with pytest.raises(ModelError, match="attn_implementation='eager'"):
                value.backward()


def test_what_a_network_of_transformers_raises_is_one_line():
    """GPT-2 without a padding token can't take batches, and says so in a ValueError."""
    model = gpt2(pad_token_id=None).eval()
    x, y = torch.randint(1, WORDS, (8, LENGTH)), torch.arange(8) // 2 % 2
    with pytest.raises(DataError, match="can't run on rows") as raised:
        parity_scores(model, x, label=y, group=torch.arange(8) % 2)
    assert "\n" not in str(raised.value)
