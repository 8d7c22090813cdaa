"""The replicas of a model: copies that each take a part of every batch.

    none         one
    mirrored     one a device of this host
    multiworker  one a device of each of several processes

A global batch has equal parts from every lane of the plan, one after the other. Each
process reads the lanes of its replicas and deals them out; gradients, losses and counts
are summed over all replicas, and each updates its own copy of the weights in the same
way. So the global batches, and up to rounding the weights, do not depend on how many
replicas there are.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from pipeline import exits, input_pipeline, runtime
from trainers import noise, signals, strategy_config

_LOSSES = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Replicas:
    """All replicas of a run, and those of this process."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        worker: strategy_config.Worker = strategy_config.ALONE,
        *,
        num_lanes: int = 1,
    ) -> None:
        """Describes the replicas of a strategy; None for one replica.

        Args:
            strategy: TensorFlow's.
            worker: This process.
            num_lanes: Of the plan.

        Raises:
            exits.Refusal: With `USAGE` if the replicas do not divide the lanes.
        """
        self._strategy = strategy
        self.worker = worker
        self.count = strategy.num_replicas_in_sync if strategy else 1
        self.num_local = self.count // worker.num_workers
        self._lanes_each = num_lanes // self.count
        self._traced_sum = tf.function(
            self._sum, input_signature=[tf.TensorSpec([None], tf.int64)]
        )
        if num_lanes % self.count:
            raise exits.Refusal(
                exits.USAGE,
                f"--plan_lanes={num_lanes}: {self.count} replicas do not divide it; "
                f"set it to {self.count}, or to 8 for a run that is to move between 1, "
                "2, 4 and 8",
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what all share."""
        return self.worker.is_chief

    def breaks_off(self, stop: signals.StopRequest) -> bool:
        """Returns whether a request to stop ends even what is under way.

        Several workers hear of it at different moments: they end together, between
        steps.
        """
        return self.worker.num_workers == 1 and bool(stop)

    @property
    def reader(self) -> input_pipeline.Reader:
        """Which part of every batch this process reads."""
        return input_pipeline.Reader(self.worker.number, self.worker.num_workers)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns where the variables of models and optimizers are made."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def lanes(self) -> noise.Lanes:
        """Returns the lanes of the replica whose graph is being made."""
        if self._strategy is None:
            return noise.Lanes(0, self._lanes_each)
        context = tf.distribute.get_replica_context()
        number = tf.cast(context.replica_id_in_sync_group, tf.int64)
        return noise.Lanes(number * self._lanes_each, self._lanes_each)

    def traced(
        self, update: Callable[[Any], None], spec: Any, *, xla: bool = False
    ) -> tf.types.experimental.PolymorphicFunction:
        """Returns a traced function that every replica runs on its part of a batch.

        Args:
            update: Takes a part.
            spec: Signature of a part: a NamedTuple of `tf.TensorSpec`.
            xla: Whether to compile it; for one replica only.
        """
        strategy = self._strategy
        if strategy is None:
            return tf.function(
                update,
                input_signature=[spec],
                autograph=False,
                jit_compile=xla or None,
            )

        def everywhere(parts: Any) -> None:
            strategy.run(update, args=(parts,))

        # The one public way to the signature of what replicas are dealt.
        nothing = tf.data.Dataset.from_generator(
            lambda: iter(()), output_signature=spec
        )
        dealt = strategy.distribute_datasets_from_function(lambda _: nothing)
        return tf.function(
            everywhere, input_signature=[dealt.element_spec], autograph=False
        )

    def deal(self, batch: Any) -> Any:
        """Returns this process's part of a batch as what its replicas take.

        Args:
            batch: A NamedTuple of tensors [B, ...]; each replica gets an equal number
                of its rows, in order.
        """
        if self._strategy is None:
            return batch
        with tf.device("CPU:0"):
            columns = [tf.split(column, self.num_local) for column in batch]
        parts = [type(batch)(*part) for part in zip(*columns, strict=True)]
        first = self.worker.number * self.num_local
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group - first]
        )

    def total(self, values: Any) -> Any:
        """Returns sums over all replicas of nested tensors, in the graph of one."""
        if self._strategy is None:
            return values
        context = tf.distribute.get_replica_context()
        flat = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
        found: list[tf.Tensor | None] = [None] * len(flat)
        for kind in dict.fromkeys(value.dtype for value in flat):  # packed by type
            places = [place for place, value in enumerate(flat) if value.dtype == kind]
            sums = context.all_reduce(
                tf.distribute.ReduceOp.SUM, [flat[place] for place in places]
            )
            for place, value in zip(places, sums, strict=True):
                found[place] = value
        return tf.nest.pack_sequence_as(values, found)

    def from_chief(self, number: int) -> int:
        """Returns the chief's number; all processes must ask at the same time."""
        return self._agreed([number if self.is_chief else 0])[0]

    @contextlib.contextmanager
    def noticing_losses(self) -> Iterator[None]:
        """Turns TensorFlow's complaint about a worker that is gone into ours.

        Raises:
            exits.Refusal: With `PREEMPTED`; what was saved last is where to go on.
        """
        try:
            yield
        except _LOSSES as error:
            if self.worker.num_workers == 1:
                raise
            raise exits.Refusal(
                exits.PREEMPTED,
                f"worker {self.worker.number} lost another one "
                f"({error.message.splitlines()[0]}); the same command goes on from the "
                "newest checkpoint",
            ) from None

    def wait(self) -> None:
        """Waits until every process is here."""
        self._agreed([0])

    def any(self, votes: Sequence[bool]) -> list[bool]:
        """Returns for each vote whether any process says yes; all must ask at once."""
        return [count > 0 for count in self._agreed([int(vote) for vote in votes])]

    def _sum(self, numbers: tf.Tensor) -> tf.Tensor:
        assert self._strategy is not None
        everywhere = self._strategy.run(lambda: numbers)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, everywhere, axis=None)

    def _agreed(self, numbers: Sequence[int]) -> list[int]:
        """Returns sums of numbers over the processes."""
        if self._strategy is None or self.worker.num_workers == 1:
            return list(numbers)
        sums = self._traced_sum(tf.constant(list(numbers), tf.int64))
        # Every replica of a process says the same, so the sum is as many times too big.
        return [int(total) // self.num_local for total in sums.numpy()]


ALONE = Replicas()


def make(asked: strategy_config.StrategyConfig, num_lanes: int) -> Replicas:
    """Returns the replicas that flags and environment ask for.

    With several processes this waits until all of them are there. It must be the first
    thing TensorFlow does.

    Raises:
        exits.Refusal: If they cannot be had or do not divide the lanes.
    """
    worker = asked.worker()
    if asked.strategy == "none":
        return Replicas(num_lanes=num_lanes)
    if asked.strategy == "mirrored":
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Replicas(strategy, worker, num_lanes=num_lanes)
    # It lists a task for each so many GPUs of a node, and by itself would ask
    # nvidia-smi how many there are. One a task lists all tasks, whatever there is.
    resolver = (
        tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=asked.slurm_port,
            gpus_per_node=worker.num_workers,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        if worker.is_of_slurm
        else tf.distribute.cluster_resolver.TFConfigClusterResolver()
    )
    with runtime.without_chatter():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return Replicas(strategy, worker, num_lanes=num_lanes)
