"""A network of snnTorch as a NIR file; docs/models.md shows it, and `make nir` runs it."""

import nir
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from torch import nn


def leaky(n: int) -> snn.Leaky:
    beta, threshold = torch.full((n,), 0.9), torch.full((n,), 1.0)
    return snn.Leaky(beta=beta, threshold=threshold, reset_mechanism="zero", init_hidden=True)


model = nn.Sequential(nn.Linear(64, 40), leaky(40), nn.Linear(40, 10), leaky(10))
nir.write("net.nir", export_to_nir(model, torch.zeros(64)))
