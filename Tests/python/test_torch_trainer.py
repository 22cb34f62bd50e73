"""Recording from Hugging Face's Trainer, which goes on as without it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import graddb  # noqa: E402
import torch_models  # noqa: E402
from graddb.torch import GradDBCallback, Projection, causal_lm_losses  # noqa: E402

SKETCH = {"kind": "sketch", "version": 1, "dims": 256, "seed": "0x7", "normalise": "tensor"}


class Texts(torch.utils.data.Dataset):
    def __init__(self):
        random = np.random.default_rng(0)
        self.rows = [random.integers(1, 31, random.integers(4, 10)).tolist() for _ in range(22)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, n):
        return {"id": f"text-{n}", "source": "even" if n % 2 == 0 else "odd",
                "input_ids": self.rows[n], "labels": self.rows[n]}


def collate(examples):
    length = max(len(one["input_ids"]) for one in examples)

    def padded(name, value):
        return torch.tensor([one[name] + [value] * (length - len(one[name])) for one in examples])
    ids = padded("input_ids", 0)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": padded("labels", -100)}


def train(tmp_path, callbacks, steps=4, dropout=0.1):
    torch.manual_seed(5)
    model = torch_models.gpt2(resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout)
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), max_steps=steps, per_device_train_batch_size=4, learning_rate=1e-2,
        lr_scheduler_type="linear", report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True,
        remove_unused_columns=False, logging_strategy="no", seed=1)
    transformers.Trainer(model, arguments, train_dataset=Texts(), data_collator=collate,
                         callbacks=callbacks).train()
    return model


def table(tmp_path, **options):
    return graddb.create(tmp_path / "db").create_table(
        "texts", layers={"grad": (256, "f32")}, fields={"source": str},
        projectors={"grad": SKETCH}, **options)


def projected(rows):
    return Projection(SKETCH).project(
        {name: torch.stack([row[name] for row in rows]) for name in rows[0]}).numpy()


def test_a_trainer_records_at_its_steps_and_trains_the_same(tmp_path):
    t = table(tmp_path)
    callback = GradDBCallback(t, Texts(), steps=[2, 4], batch_size=5, ids="id", fields=["source"],
                              projector=SKETCH)
    recorded = train(tmp_path, [callback])
    plain = train(tmp_path, [])
    for p, q in zip(plain.parameters(), recorded.parameters()):
        assert torch.equal(p, q)
    # The linear schedule begins at 1e-2 with the first step; the second was done at three quarters.
    checkpoints = [(c.name, c.step, c.rows) for c in t.checkpoints()]
    assert checkpoints == [("step-2", 2, 22), ("step-4", 4, 22)] and callback.recorded == ["step-2", "step-4"]
    assert [c.weight for c in t.checkpoints()] == pytest.approx([7.5e-3, 2.5e-3])
    assert "recorded 44 rows" in str(callback.report)

    # At the end the model is still what it was at step 4.
    recorded.eval()
    texts, rows = Texts(), []
    parameters = dict(recorded.named_parameters())
    for n in range(len(texts)):
        loss = causal_lm_losses(recorded, collate([texts[n]])).sum()
        rows.append(dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())))))
    wanted = projected(rows)
    found = t.read([texts[n]["id"] for n in range(len(texts))], checkpoint="step-4")
    # A key's bias has no effect: its gradient, rounding, is blown up to length 1 in both.
    cosines = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.9


def test_rows_are_exact_where_every_parameter_counts(tmp_path):
    t = table(tmp_path)
    layers = ["!*.c_attn.bias"]
    callback = GradDBCallback(t, Texts(), epochs=True, ids=[f"row {n}" for n in range(22)], projector=SKETCH,
                              layers=layers)
    model = train(tmp_path, [callback], steps=6).eval()
    assert [c.name for c in t.checkpoints()] == ["step-6"]
    texts, rows = Texts(), []
    parameters = {k: p for k, p in model.named_parameters() if "c_attn.bias" not in k}
    for n in range(len(texts)):
        loss = causal_lm_losses(model, collate([texts[n]])).sum()
        rows.append(dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())))))
    wanted = projected(rows)
    found = t.read([f"row {n}" for n in range(22)])
    assert (np.linalg.norm(found - wanted, axis=1) <= 2e-5 * np.linalg.norm(wanted, axis=1)).all()


def test_tokens(tmp_path):
    t = table(tmp_path, unit="token")
    callback = GradDBCallback(t, Texts(), steps=2, ids="id", fields=["source"], projector=SKETCH)
    train(tmp_path, [callback], steps=2)
    texts = Texts()
    assert len(t) == sum(len(row) - 1 for row in texts.rows)
    position = len(texts.rows[3]) - 1
    assert t.read([f"text-3/{position}", "text-3/1"]).shape == (2, 256)
    with pytest.raises(graddb.NotFound):
        t.read(["text-3/0"])


def test_when_to_record_has_to_be_said(tmp_path):
    with pytest.raises(graddb.BadInput, match="steps="):
        GradDBCallback(table(tmp_path), Texts())
