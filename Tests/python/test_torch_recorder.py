"""Recording a training loop: what is in the table is what the examples' gradients project to."""

import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import graddb  # noqa: E402
import torch_models  # noqa: E402
from graddb.torch import (  # noqa: E402
    BadProjector, IncompleteGradient, NonFiniteGradient, Projection, Recorder, ShapeChanged,
    per_module)
from torch import nn  # noqa: E402

SKETCH = {"kind": "sketch", "version": 1, "dims": 256, "seed": "0x7", "normalise": "tensor"}
PLAIN = {**SKETCH, "normalise": "none"}


def table(tmp_path, projectors=None, **options):
    projectors = projectors or {"grad": SKETCH}
    database = graddb.create(tmp_path / "db", exist_ok=True)
    return database.create_table(
        "rows", layers={name: (p["dims"], "f32") for name, p in projectors.items()},
        projectors=projectors, **options)


@pytest.fixture
def case():
    return torch_models.made("language")


def gradients(case, losses=None, names=None):
    """Each example's own, [{name: gradient}], by single backward passes."""
    losses = losses or case.losses
    parameters = {k: p for k, p in case.model.named_parameters()
                  if p.requires_grad and (not names or k in names)}
    return [dict(zip(parameters, torch.autograd.grad(
        losses(case.model, *[x[n : n + 1] for x in case.inputs]).sum(), list(parameters.values()),
        allow_unused=True, materialize_grads=True))) for n in range(len(case.inputs[0]))]


def projected(document, rows):
    names = rows[0]
    return Projection(document).project({k: torch.stack([row[k] for row in rows]) for k in names}).numpy()


def assert_near(found, wanted, tolerance=1e-5):
    lengths = np.linalg.norm(wanted, axis=1)
    assert (np.linalg.norm(np.asarray(found) - wanted, axis=1) <= tolerance * lengths).all()


def vectors(case, recorder, **options):
    """Of the case's rows, without a table."""
    with recorder.record(ids=range(len(case.inputs[0])), **options) as recording:
        recording.backward(case.losses(case.model, *case.inputs))
    return {layer: rows.numpy() for layer, rows in recording.vectors.items()}


def all_ids(t, where=""):
    return sorted(t.query(f"SCORE dot TO $q {where} TOP 1000", q=np.ones(256, np.float32)).ids)


# ---- training goes on, and rows arrive ----


def trained(tmp_path, record):
    """A short training; its parameters, and its table."""
    case = torch_models.made("language")
    t = table(tmp_path, fields={"source": str, "number": int})
    optimizer = torch.optim.AdamW(case.model.parameters(), lr=1e-2)
    recorder = Recorder(case.model, t)
    wanted, ids = [], []
    with recorder.writer("step-4", step=4, weight=0.01) as writer:
        for step in range(4):
            batch = torch_models.tokens(5, 8)
            now = torch_models.Case(case.model, (batch,), case.losses)
            names = [f"{step}-{n}" for n in range(5)]
            if record:
                wanted.append(projected(SKETCH, gradients(now)))
                ids += names
                with recorder.record(writer, ids=names, fields={"source": ["a"] * 5, "number": range(5)}):
                    case.losses(case.model, batch).mean().backward()
            else:
                case.losses(case.model, batch).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    return case.model, t, ids, np.concatenate(wanted) if wanted else None, recorder


def test_a_training_loop(tmp_path):
    model, t, ids, wanted, recorder = trained(tmp_path / "a", True)
    assert len(t) == 20
    assert_near(t.read(ids), wanted)
    assert t.checkpoints()[0][:4] == ("step-4", 4, 0.01, 20)
    assert all_ids(t, "WHERE number = 3") == [f"{step}-3" for step in range(4)]
    report = recorder.report()
    assert (report.rows, report.batches, report.nonfinite) == (20, 4, 0)
    assert 0 < report.recording_seconds < report.step_seconds
    assert "recorded 20 rows in 4 batches" in str(report)
    plain, *_ = trained(tmp_path / "b", False)
    for p, q in zip(plain.parameters(), model.parameters()):
        assert torch.equal(p, q)


def test_queries_are_made_like_rows(tmp_path, case):
    t = table(tmp_path)
    recorder = Recorder(case.model, t)
    with recorder.writer("c") as writer, recorder.record(writer, ids=list("abcde")):
        case.losses(case.model, *case.inputs).mean().backward()
    with recorder.record(ids=[0]) as query:
        query.backward(case.losses(case.model, *[x[2:3] for x in case.inputs]))
    found = t.query("SCORE cosine TO $q TOP 1", q=query.vectors)
    assert found.ids.tolist() == ["c"] and found.scores[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("document", [
    SKETCH, PLAIN, {**SKETCH, "kind": "dense", "dims": 32}, {**PLAIN, "kind": "dense", "dims": 32}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_by_training_or_by_hand(case, document, reduction):
    wanted = projected(document, gradients(case))
    recorder = Recorder(case.model, projector=document, reduction=reduction)
    with recorder.record(ids=range(5)) as recording:
        getattr(case.losses(case.model, *case.inputs), reduction)().backward()
    assert_near(recording.vectors["grad"], wanted)
    case.model.zero_grad()
    assert_near(vectors(case, recorder)["grad"], wanted)
    assert all(p.grad is None for p in case.model.parameters())


def test_scale_multiplies_rows(case):
    wanted = projected(PLAIN, gradients(case))
    recorder = Recorder(case.model, projector=PLAIN)
    assert_near(vectors(case, recorder, scale=3)["grad"], 3 * wanted)
    each = [1, 2, 3, 4, 5]
    assert_near(vectors(case, recorder, scale=each)["grad"], wanted * np.array(each)[:, None])


def test_adam_records_updates(case):
    optimizer = torch.optim.AdamW(case.model.parameters(), lr=1e-3, betas=(0.8, 0.95), eps=1e-6)
    for _ in range(3):
        case.losses(case.model, *case.inputs).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    def update(name, g):
        state = optimizer.state[dict(case.model.named_parameters())[name]]
        m, v = state["exp_avg"].double(), state["exp_avg_sq"].double()
        m = (0.8 * m + 0.2 * g.double()) / (1 - 0.8**4)
        v = (0.95 * v + 0.05 * g.double() ** 2) / (1 - 0.95**4)
        return (m / (v.sqrt() + 1e-6)).float()

    rows = [{name: update(name, g) for name, g in row.items()} for row in gradients(case)]
    recorder = Recorder(case.model, projector=PLAIN, direction="adam", optimizer=optimizer)
    assert_near(vectors(case, recorder)["grad"], projected(PLAIN, rows), 1e-4)
    with recorder.record(ids=range(5)) as recording:
        case.losses(case.model, *case.inputs).mean().backward()
    assert_near(recording.vectors["grad"], projected(PLAIN, rows), 1e-4)


def test_adam_before_its_first_step(case):
    optimizer = torch.optim.Adam(case.model.parameters())
    recorder = Recorder(case.model, projector=PLAIN, direction="adam", optimizer=optimizer)
    rows = [{k: g / (g.abs() + 1e-8) for k, g in row.items()} for row in gradients(case)]
    # Elements near ε are rounding: their signs differ.
    found, wanted = vectors(case, recorder)["grad"], projected(PLAIN, rows)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    assert (np.sum(found * wanted, 1) > 0.98 * lengths).all()


# ---- layers ----


def test_patterns_choose_parameters(case):
    recorder = Recorder(case.model, projector=PLAIN, layers=["blocks.*", "!*.bias", "!*norm?.*"])
    names = {tensor["name"] for tensor in recorder.projectors["grad"]["tensors"]}
    assert names == {f"blocks.{n}.{part}.weight" for n in (0, 1) for part in ("qkv", "mix", "up", "down")}
    assert_near(vectors(case, recorder)["grad"], projected(PLAIN, gradients(case, names=names)))


def test_a_layer_for_each_module(tmp_path, case):
    projectors = per_module(case.model, {**SKETCH, "dims": 64}, layers=["blocks.1.*", "token.*"])
    assert list(projectors) == ["token", "blocks.1.norm1", "blocks.1.norm2", "blocks.1.qkv",
                                "blocks.1.mix", "blocks.1.up", "blocks.1.down"]
    t = table(tmp_path, projectors)
    recorder = Recorder(case.model, t, projector=projectors)
    with recorder.writer("c") as writer, recorder.record(writer, ids=range(5)):
        case.losses(case.model, *case.inputs).mean().backward()
    rows = gradients(case)
    for layer, projector in projectors.items():
        mine = [{k: g for k, g in row.items() if k in projector["match"]} for row in rows]
        assert_near(t.read(range(5), layer=layer), projected(projector, mine))


def test_adapters_are_what_is_recorded_of_a_model_with_adapters():
    pytest.importorskip("peft")
    case = torch_models.made("lora")
    recorder = Recorder(case.model, projector=PLAIN)
    assert all("lora" in tensor["name"] for tensor in recorder.projectors["grad"]["tensors"])
    assert_near(vectors(case, recorder)["grad"], projected(PLAIN, gradients(case)))


@pytest.mark.parametrize("name", ["language", "gpt2", "perceptron"])
@pytest.mark.parametrize("normalise", ["none", "tensor"])
def test_factored_gradients_are_never_formed(name, normalise):
    """The vector is A G Bᵀ, with the matrices that single positions show."""
    if name in torch_models.NEEDS:
        pytest.importorskip(torch_models.NEEDS[name])
    case = torch_models.made(name)
    document = {"kind": "factored", "rank": [3, 4], "dims": 12, "version": 1, "seed": "0x3",
                "normalise": normalise}
    recorder = Recorder(case.model, projector=document)
    projection = Projection(document)
    weights = recorder.layers[0].tensors
    out = np.zeros((len(case.inputs[0]), 12))
    for row, gradient in enumerate(gradients(case, names=set(weights))):
        for weight, module in weights.items():
            d_out, d_in = (recorder.layers[0].shapes[f"{module}.{part}"][1]
                           for part in ("grad_output", "input"))
            a = projection._factor(f"{module}.grad_output", d_out, 3, torch.zeros(1)).T.double()
            b = projection._factor(f"{module}.input", d_in, 4, torch.zeros(1)).T.double()
            g = gradient[weight].double()
            g = g if g.shape == (d_out, d_in) and not name == "gpt2" else g.T
            length = g.norm() if normalise == "tensor" else 1
            out[row] += ((a @ g @ b.T) / length).flatten().numpy()
    assert_near(vectors(case, recorder)["grad"], out, 3e-5)


# ---- tokens ----


def token_losses(model, ids):
    logits = model(ids[:, :-1])
    return nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


def test_a_row_for_each_token(tmp_path, case):
    t = table(tmp_path, unit="token", fields={"source": str})
    recorder = Recorder(case.model, t, projector=SKETCH)
    mask = torch.ones(5, 7)
    mask[1, 3:] = 0
    mask[4, 0] = 0
    with recorder.writer("c") as writer:
        with recorder.record(writer, ids=list("abcde"), fields={"source": list("vwxyz")}) as recording:
            recording.backward(token_losses(case.model, *case.inputs), mask)
    wanted, ids = [], []
    losses = token_losses(case.model, *case.inputs)
    parameters = dict(case.model.named_parameters())
    for n, p in mask.nonzero().tolist():
        found = torch.autograd.grad(losses[n, p], list(parameters.values()), retain_graph=True)
        wanted.append(dict(zip(parameters, found)))
        ids.append(f"{'abcde'[n]}/{p}")
    assert len(t) == len(ids) == 30
    assert_near(t.read(ids), projected(SKETCH, wanted), 2e-5)
    assert all_ids(t, "WHERE source = 'w'") == ["b/0", "b/1", "b/2"]


# ---- several processes ----


def test_each_process_of_a_distributed_training_is_a_rank(tmp_path):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    t = table(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_rank.py")
    processes = [subprocess.Popen(
        [sys.executable, "-B", script, t.database.path], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors

    case = torch_models.made("language")
    case = case._replace(inputs=(torch_models.tokens(6, 8),))
    rows = gradients(case)
    assert_near(t.read([f"row {n}" for n in range(6)]), projected(SKETCH, rows))
    trained_with = torch.load(t.database.path + ".gradients")
    for name, gradient in trained_with.items():  # of the mean over both
        assert torch.allclose(gradient, torch.stack([row[name] for row in rows]).mean(0), atol=1e-6)


# ---- what goes wrong ----


def test_a_gradient_that_is_not_finite(tmp_path, case):
    with torch.no_grad():
        case.model.token.weight[3, 0] = float("inf")
    t = table(tmp_path)
    recorder = Recorder(case.model, t, projector=SKETCH, check=False)
    with pytest.raises(NonFiniteGradient, match="row 'a'.*layer grad"):
        with recorder.writer("c") as writer:
            with recorder.record(writer, ids=list("abcde")):
                case.losses(case.model, *case.inputs).mean().backward()
    assert len(t) == 0 and t.snapshots() == []


def test_rows_that_are_not_finite_can_be_left_out(tmp_path, case):
    recorder = Recorder(case.model, table(tmp_path), projector=SKETCH, nonfinite="skip", check=False)
    with recorder.writer("c") as writer:
        with recorder.record(writer, ids=list("abcde")) as recording:
            losses = case.losses(case.model, *case.inputs)
            recording.backward(losses * torch.tensor([1, float("nan"), 1, 1, 1]))
    assert all_ids(writer.table) == list("acde")
    assert recorder.report().nonfinite == 1


def test_errors_of_the_writers_thread_come_with_the_next_call(tmp_path, case):
    t = table(tmp_path)
    recorder = Recorder(case.model, t, projector=SKETCH)
    with pytest.raises(graddb.BadInput, match="id a already"):
        with recorder.writer("c") as writer:
            for _ in range(50):
                with recorder.record(writer, ids=list("abcde")):  # the same ids again
                    case.losses(case.model, *case.inputs).mean().backward()
            pytest.fail("the error never came")
    assert len(t) == 0
    assert not [one for one in threading.enumerate() if one.name == "graddb-recorder"]


def test_an_error_at_the_last_batch_is_not_lost(tmp_path, case):
    t = table(tmp_path)
    recorder = Recorder(case.model, t, projector=SKETCH)
    with pytest.raises(graddb.BadInput, match="id a already"):
        with recorder.writer("c") as writer:
            with recorder.record(writer, ids=list("aacde")):
                case.losses(case.model, *case.inputs).mean().backward()
    assert len(t) == 0


def test_a_closed_writer_and_one_of_another_table(tmp_path, case):
    t = table(tmp_path)
    recorder = Recorder(case.model, t, projector=SKETCH)
    with recorder.writer("c") as writer:
        pass
    with pytest.raises(graddb.Closed, match="closed"):
        recorder.record(writer, ids=[1])
    other = t.database.create_table("other", layers={"grad": (256, "f32")})
    with other.writer("c") as writer, pytest.raises(graddb.BadInput, match="other"):
        recorder.record(writer, ids=[1])


def test_an_exception_in_the_step_records_nothing_and_the_next_batch_goes_on(tmp_path, case):
    t = table(tmp_path)
    recorder = Recorder(case.model, t, projector=SKETCH)
    with recorder.writer("c") as writer:
        with pytest.raises(KeyError):
            with recorder.record(writer, ids=list("abcde")):
                case.losses(case.model, *case.inputs)
                raise KeyError("of the user's")
        with recorder.record(writer, ids=list("fghij")):
            case.losses(case.model, *case.inputs).mean().backward()
    assert all_ids(t) == list("fghij")


def test_a_use_that_is_not_seen_is_noticed(case):
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x @ weight

        @staticmethod
        def backward(ctx, g):
            x, weight = ctx.saved_tensors
            return g @ weight.T, x.flatten(0, -2).T @ g.flatten(0, -2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self, x):
            return Hidden.apply(x @ self.weight, self.weight)

    model = Model()
    recorder = Recorder(model, projector=PLAIN)
    with pytest.raises(IncompleteGradient, match="weight do not add up"):
        with recorder.record(ids=range(3)):
            model(torch.randn(3, 4)).square().mean().backward()
    assert model.weight.grad is not None


@pytest.mark.parametrize("options,complaint", [
    ({"layers": ["blcks.*"]}, "no trained parameter is called 'blcks"),
    ({"layers": {"other": ["*"]}}, "grad|other"), ({"direction": "lion"}, "direction"),
    ({"direction": "adam"}, "optimizer"), ({"dtype": torch.int8}, "dtype"),
    ({"reduction": "max"}, "reduction"),
    ({"nonfinite": "keep"}, "nonfinite"),
], ids=str)
def test_wrong_options(case, options, complaint):
    with pytest.raises(graddb.BadInput, match=complaint):
        Recorder(case.model, projector=SKETCH, **options)


@pytest.mark.parametrize("call,complaint", [
    (dict(ids=[]), "no ids"), (dict(ids=[1, 2], fields={"a": [1]}), "field a has 1 values for 2 ids"),
    (dict(ids=[1, 2], scale=[1, 2, 3]), "scale"),
], ids=str)
def test_wrong_calls(case, call, complaint):
    with pytest.raises(graddb.BadInput, match=complaint):
        Recorder(case.model, projector=SKETCH).record(**call)


def test_wrong_contexts(case):
    recorder = Recorder(case.model, projector=SKETCH)
    with pytest.raises(graddb.BadInput, match="no gradient came back"):
        with recorder.record(ids=range(5)):
            case.losses(case.model, *case.inputs)
    with pytest.raises(graddb.BadInput, match="losses have shape"):
        with recorder.record(ids=range(5)) as recording:
            recording.backward(case.losses(case.model, *case.inputs).mean())
    with pytest.raises(graddb.BadInput, match="one record"):
        with recorder.record(ids=range(5)):
            recorder.record(ids=range(5))
    with pytest.raises(graddb.BadInput, match="4, the number of ids"):
        with recorder.record(ids=range(4)):
            case.losses(case.model, *case.inputs).mean().backward()


def test_another_projector_than_the_tables(tmp_path, case):
    t = table(tmp_path)
    with pytest.raises(BadProjector, match="seed"):
        Recorder(case.model, t, projector={**SKETCH, "seed": "0x8"})
    with pytest.raises(BadProjector, match="256 dims.*128"):
        plain = t.database.create_table("plain", layers={"grad": (256, "f32")})
        Recorder(case.model, plain, projector={**SKETCH, "dims": 128})
    with pytest.raises(BadProjector, match="has no projector"):
        Recorder(case.model, plain)


def test_a_parameter_of_another_shape_than_before(tmp_path, case):
    recorder = Recorder(case.model, projector=SKETCH)
    before = recorder.projectors["grad"]
    bigger = torch_models.Language(words=40)
    with pytest.raises(ShapeChanged, match=r"token.weight has shape \[40, 16\], but \[31, 16\]"):
        Recorder(bigger, projector=before)
    with pytest.raises(BadProjector, match="other tensors: norm"):
        Recorder(case.model, projector=before, layers=["!norm.*"])
    case.model.token = nn.Embedding(40, 16)
    with pytest.raises(ShapeChanged, match="token.weight"):
        recorder.record(ids=range(5))


def test_the_step_waits_only_when_the_queue_is_full(tmp_path, case):
    from graddb.torch.background import BackgroundWriter

    class Slow:
        """Not a mock of the engine: it stands for a disk, and says when it has written."""

        def __init__(self):
            self.go, self.ids = threading.Event(), []

        def append(self, vectors, ids, fields):
            from graddb.writer import Taken
            self.go.wait()
            self.ids += ids
            return Taken(len(ids), 0)

    slow = Slow()
    background = BackgroundWriter(slow, 2)
    for n in range(3):  # one is being written, two wait
        background.submit({"grad": torch.zeros(1, 4)}, [n], {})
        while n == 0 and background._queue.qsize():
            pass
    assert background.waited < 1
    timer = threading.Timer(0.3, slow.go.set)
    timer.start()
    background.submit({"grad": torch.zeros(1, 4)}, [3], {})
    assert background.waited > 0.1
    background.drain()
    assert slow.ids == [0, 1, 2, 3] and background.rows == 4
