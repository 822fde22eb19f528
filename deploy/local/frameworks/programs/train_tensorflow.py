"""ParameterServerStrategy on scikit-learn's handwritten digits: chief, worker and parameter server.

Started by Kubeflow's operator, which says in TF_CONFIG who is who and where. The chief trains until the
model names 95 % of digits it never saw; the others serve until the operator ends them.
"""

import sys

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

STEPS_MAX = 3_000
ACCURACY = 0.95
HELD_OUT = 360
BATCH = 64


def main() -> int:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        resolver.cluster_spec(), task_type=resolver.task_type, task_id=resolver.task_id, rpc_layer="grpc"
    )
    print(f"{resolver.task_type} {resolver.task_id} of {resolver.cluster_spec().as_dict()}", flush=True)
    if resolver.task_type in ("worker", "ps"):
        server = tf.distribute.Server(
            resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc"
        )
        server.join()
        return 0
    return train(resolver)


def train(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> int:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = (digits.data[order] / 16).astype(np.float32)
    y = digits.target[order].astype(np.int64)
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        w = tf.Variable(tf.random.stateless_normal((64, 10), (0, 0)) * 0.05)
        b = tf.Variable(tf.zeros(10))

    @tf.function
    def step(first: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = tf.matmul(first, w) + b
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip((w, b), tape.gradient(loss, (w, b)), strict=True):
            variable.assign_sub(0.5 * gradient)
        return loss

    random = np.random.default_rng(1)
    accuracy = 0.0
    for number in range(STEPS_MAX):
        batch = random.integers(HELD_OUT, len(y), BATCH)
        loss = coordinator.schedule(step, args=(tf.constant(x[batch]), tf.constant(y[batch])))
        if number % 100 == 99:
            coordinator.join()
            guessed = np.argmax(x[:HELD_OUT] @ w.numpy() + b.numpy(), axis=1)
            accuracy = float((guessed == y[:HELD_OUT]).mean())
            print(f"step {number + 1}: loss {loss.fetch():.3f}, accuracy {accuracy:.3f}", flush=True)
            if accuracy >= ACCURACY:
                break
    print(f"chief: done, accuracy {accuracy:.3f}", flush=True)
    return 0 if accuracy >= ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
