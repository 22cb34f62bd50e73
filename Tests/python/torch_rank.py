"""One process of a DistributedDataParallel training that records: RANK, WORLD_SIZE and the
rendezvous come from the environment, the database from the command line."""

import sys

import graddb
import torch
import torch_models
from graddb.torch import Recorder
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


def main(path):
    distributed.init_process_group("gloo")
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    case = torch_models.made("language")
    model = DistributedDataParallel(case.model)
    table = graddb.open(path).table("rows")
    recorder = Recorder(model, table)
    ids = torch_models.tokens(6, 8)[rank::ranks]  # drawn alike everywhere
    with recorder.writer("c", rank=rank, ranks=ranks) as writer:
        with recorder.record(writer, ids=[f"row {n}" for n in range(rank, 6, ranks)]):
            case.losses(model, ids).mean().backward()
    distributed.barrier()
    if rank == 0:
        table.commit("c")
        torch.save({name: p.grad for name, p in case.model.named_parameters()}, path + ".gradients")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
