"""Audits of small networks, as the reports get them."""

import json

import torch

from dralign.auditing import audit
from dralign.models import mlp


def form(**given):
    """An audit of a small network, through JSON."""
    return json.loads(json.dumps(small(**given).to_dict(), allow_nan=False))


def small(*, names=None, n_outputs=1, n_groups=2):
    """An audit of a small network."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 4, generator=generator)
    y = torch.randint(max(2, n_outputs), (90,), generator=generator)
    group = torch.arange(90) % n_groups
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = mlp(4, hidden=6, depth=2, n_outputs=n_outputs)
    return audit(model, x, label=y, group=group, group_names=names, n_splits=20, n_bootstrap=20)
