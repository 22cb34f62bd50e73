"""Models whose gradients per example are known otherwise, each with inputs and losses."""

from typing import Any, Callable, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Case(NamedTuple):
    """`losses(model, *inputs)` are the losses of the rows of the inputs, [rows]."""

    model: nn.Module
    inputs: tuple
    losses: Callable[..., torch.Tensor]


def classes(model, x, y):
    return F.cross_entropy(model(x), y, reduction="none")


def cubes(model, x):
    return model(x).pow(3).flatten(1).mean(1)


def next_tokens(model, ids):
    """Mean loss of the tokens after the first."""
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").mean(1)


def hf_next_tokens(model, ids, mask):
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none") * mask[:, 1:]
    return losses.sum(1) / mask[:, 1:].sum(1)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        rows, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(rows, length, 3, 2, -1).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(heads.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Language(nn.Module):
    """The demo's model, smaller: its output layer is the token embedding, its positions are a
    slice of a table."""

    def __init__(self, words=31, width=16, length=12):
        super().__init__()
        self.token, self.position = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.token(ids) + self.position.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.token.weight.T


class Shared(nn.Module):
    """Parameters that are used twice, derived, expanded and broadcast."""

    def __init__(self, width=8):
        super().__init__()
        self.twice = nn.Linear(width, width)
        self.gain, self.first = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(1, 1, width))
        self.norm = nn.RMSNorm(width)
        self.derived = nn.utils.parametrizations.weight_norm(nn.Linear(width, width))
        self.unused = nn.Linear(width, width)

    def forward(self, x):
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1)
        x = self.twice(torch.tanh(self.twice(x))) * self.gain
        x = self.norm(x) * torch.exp(self.gain) - self.first[0, 0]
        return self.derived(x)


class PositionsFirst(nn.Module):
    """The batch is the second dimension inside, and positions are looked up by `arange`."""

    def __init__(self, width=8, length=6):
        super().__init__()
        self.position, self.linear = nn.Embedding(length, width), nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, 2)

    def forward(self, x):
        x = (x + self.position(torch.arange(x.shape[1]))).transpose(0, 1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return torch.relu_(self.linear(x)).transpose(0, 1)


def tokens(rows, length, words=31):
    return torch.randint(0, words, (rows, length))


def padded(rows, length):
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(0, rows, 2):
        mask[row, length - 1 - row % 5 :] = 0
    return mask


def gpt2(**options):
    import transformers

    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=31, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0, **{"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, **options}))


def llama():
    import transformers

    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, bos_token_id=0, eos_token_id=0))


def lora():
    import peft

    model = peft.get_peft_model(llama(), peft.LoraConfig(
        r=3, target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)  # else the gradients of lora_A are zero
    return model


def made(name: str) -> Case:
    """A case by its name, the same each time."""
    torch.manual_seed(3)
    return CASES[name]()


def _convolutions():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 3, stride=2), nn.Flatten(), nn.Linear(36, 5))
    return Case(model, (torch.randn(4, 3, 8, 8), torch.randint(0, 5, (4,))), classes)


def _encoder(rows, length):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return Case(nn.TransformerEncoder(layer, 2), (torch.randn(rows, length, 8),),
                lambda model, x: model(x)[..., :5].pow(3).sum((1, 2)))


def _perceptron():
    model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(inplace=True), nn.LayerNorm(16), nn.Linear(16, 3))
    return Case(model, (torch.randn(5, 7), torch.randint(0, 3, (5,))), classes)


CASES: dict[str, Callable[[], Any]] = {
    "perceptron": _perceptron,
    "language": lambda: Case(Language(), (tokens(5, 8),), next_tokens),
    # As many positions as rows: shapes alone would not tell them apart.
    "language, square": lambda: Case(Language(), (tokens(7, 8),), next_tokens),
    "language, one row": lambda: Case(Language(), (tokens(1, 8),), next_tokens),
    "convolutions": _convolutions,
    "encoder": lambda: _encoder(4, 5),
    "encoder, square": lambda: _encoder(4, 4),
    "shared": lambda: Case(Shared(), (torch.randn(4, 3, 8),), cubes),
    "shared, square": lambda: Case(Shared(), (torch.randn(4, 4, 8),), cubes),
    "positions first": lambda: Case(PositionsFirst(), (torch.randn(4, 6, 8),), cubes),
    "positions first, square": lambda: Case(PositionsFirst(), (torch.randn(6, 6, 8),), cubes),
    "gpt2": lambda: Case(gpt2(), (tokens(5, 9), padded(5, 9)), hf_next_tokens),
    "gpt2, square": lambda: Case(gpt2(), (tokens(9, 9), padded(9, 9)), hf_next_tokens),
    "llama": lambda: Case(llama(), (tokens(5, 9), padded(5, 9)), hf_next_tokens),
    "lora": lambda: Case(lora(), (tokens(5, 9), padded(5, 9)), hf_next_tokens),
}
NEEDS = {"gpt2": "transformers", "llama": "transformers", "lora": "peft"}
