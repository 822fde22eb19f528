"""DistributedDataParallel over gloo on scikit-learn's handwritten digits, with checkpoints.

Started by Kubeflow's operator: rank and size come from the environment. The model is right when it names
97 % of digits it never saw; a run that was broken off goes on from its last checkpoint.
"""

import os
import sys
import time

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

EPOCHS_MAX = 60
ACCURACY = 0.97
HELD_OUT = 360


def main() -> int:
    checkpoint, pause_s = sys.argv[1], float(sys.argv[2])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, size = distributed.get_rank(), distributed.get_world_size()
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    y = torch.tensor(digits.target)[order]
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    epoch = 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        epoch = saved["epoch"]
        print(f"rank {rank}: going on after epoch {epoch}", flush=True)
    accuracy = 0.0
    while epoch < EPOCHS_MAX:
        mine = torch.arange(HELD_OUT + rank, len(y), size)
        for batch in mine[torch.randperm(len(mine))[: len(mine) // 32 * 32]].split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        epoch += 1
        with torch.no_grad():
            accuracy = (model(x[:HELD_OUT]).argmax(1) == y[:HELD_OUT]).float().mean().item()
        print(f"rank {rank} of {size}: epoch {epoch}, accuracy {accuracy:.3f}", flush=True)
        if rank == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, checkpoint + ".partial")
            os.replace(checkpoint + ".partial", checkpoint)
        # All go on or all stop: the models are the same, so the accuracy is.
        distributed.barrier()
        if accuracy >= ACCURACY and epoch >= 12:
            break
        time.sleep(pause_s)
    distributed.destroy_process_group()
    print(f"rank {rank}: done, accuracy {accuracy:.3f}", flush=True)
    return 0 if accuracy >= ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
