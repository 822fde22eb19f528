"""A pod that keeps the frameworks' contract without the frameworks: it meets its peers and adds up.

Reads what Kubeflow's operator sets, ``TF_CONFIG`` or ``MASTER_ADDR``, ``MASTER_PORT``, ``RANK`` and
``WORLD_SIZE``. Rank 0 waits for one number from each of the others, found by the names it was given, and
answers with the sum; every pod prints it.
"""

import json
import os
import socket
import sys
import time

PATIENCE_S = 120.0


def from_tf_config(text: str) -> tuple[str, int, int, int]:
    """(address of the first, its port, own rank, how many)."""
    config = json.loads(text)
    ranks = [(role, i) for role in sorted(config["cluster"]) for i in range(len(config["cluster"][role]))]
    first_role, first = ranks[0]
    host, _, port = config["cluster"][first_role][first].partition(":")
    own = (config["task"]["type"], int(config["task"]["index"]))
    return host, int(port), ranks.index(own), len(ranks)


def contract() -> tuple[str, int, int, int]:
    if "TF_CONFIG" in os.environ:
        return from_tf_config(os.environ["TF_CONFIG"])
    env = os.environ
    return env["MASTER_ADDR"], int(env["MASTER_PORT"]), int(env["RANK"]), int(env["WORLD_SIZE"])


def lead(port: int, size: int) -> int:
    """Add up what the others send, and tell them."""
    total, peers = 0, []
    with socket.create_server((socket.gethostbyname(socket.gethostname()), port)) as server:
        server.settimeout(PATIENCE_S)
        while len(peers) < size - 1:
            peer, _ = server.accept()
            total += int(peer.makefile().readline())
            peers.append(peer)
        for peer in peers:
            peer.sendall(f"{total}\n".encode())
            peer.close()
    return total


def follow(host: str, port: int, rank: int) -> int:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection((host, port), timeout=PATIENCE_S) as peer:
                peer.sendall(f"{rank}\n".encode())
                return int(peer.makefile().readline())
        except OSError:
            # Not resolved or not listening yet.
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def main() -> int:
    host, port, rank, size = contract()
    total = lead(port, size) if rank == 0 else follow(host, port, rank)
    expected = sum(range(size))
    print(f"rank {rank} of {size}: sum {total}, expected {expected}", flush=True)
    return 0 if total == expected else 1


if __name__ == "__main__":
    sys.exit(main())
