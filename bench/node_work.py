# SPDX-License-Identifier: Apache-2.0
"""What the policy node adds to the forward pass of its model, chunk by chunk.

The real node runs in a process of its own with the real checkpoint, two cameras of 640x480 come
from another process, and a third runs the same forward pass bare, in turns with the node.

As a process (settings ``checkpoint``, ``robot``, ``repeats`` of the model, ``replan_period`` [s])
this is the node; it tells the ``parts`` of each chunk.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
import time
from typing import Any, NamedTuple

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory

from bench.child import Bench, Child
from bench.inference import Inference, INSTRUCTION
from vla_drop_ros.bringup import find_checkpoint, find_contract, process_environment
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.process import SPIN_TIMEOUT
from vla_drop_ros.runtime.replanning import Request
from vla_drop_ros.runtime.robot_inputs import stamp_of
from vla_drop_ros.types import ActionChunk, Observation

ROBOT = {'topics': ['front_camera/image_raw', 'wrist_camera/image_raw'], 'width': 640,
         'height': 480, 'rate': 30.0, 'state': True}
FORWARD = 0.06  # [s]; the ratio to the bare forward pass needs at least 0.035
WARM_UP = 3  # chunks that do not count


class Parts(NamedTuple):
    """Where the time of one chunk went, [s]."""

    callbacks: float    # of the two images
    slot_wait: float    # from the last image to the timer that asks for a chunk
    request: float      # from that timer to the policy: joining, handing over, decoding
    preparation: float  # of the policy, before and after the forward pass: resize, units
    forward: float
    publishing: float

    @property
    def node_work(self) -> float:
        """Return everything but the forward pass and the wait for the timer."""
        return self.callbacks + self.request + self.preparation + self.publishing

    @property
    def in_loop(self) -> float:
        """Return the node's work and the forward pass."""
        return self.node_work + self.forward


class Sample(NamedTuple):
    """One chunk of the node, and the bare forward pass that followed it in another process."""

    parts: Parts
    bare: float


class TimedNode(PolicyNode):
    """The policy node; notes when its callbacks, its timer and its policy begin and end."""

    def __init__(self, bench: Bench) -> None:
        """Create it with the settings of the benchmark."""
        self._bench = bench
        self._image_spans: dict[float, tuple[float, float]] = {}  # by stamp: begin and end
        self._tick_times: deque[float] = deque(maxlen=64)
        self._infer_span, self._sent = (0.0, 0.0), 0.0
        settings = {'instruction': INSTRUCTION, 'threads': 1, **{
            name: bench.settings[name] for name in ('robot', 'checkpoint', 'replan_period')}}
        super().__init__(load=self._load_timed, overrides=[
            Parameter(name, value=value) for name, value in settings.items()])

    def create_subscription(self, message: Any, topic: str, callback: Callable[[Any], None],
                            *args: Any, **options: Any) -> Any:
        """Note entry and exit of the callbacks that take images."""
        def timed(sample: Any) -> None:
            begin = time.monotonic()
            callback(sample)
            self._image_spans[stamp_of(sample)] = begin, time.monotonic()

        return super().create_subscription(
            message, topic, timed if message is Image else callback, *args, **options)

    def own_lifecycle_publisher(self, message: type, topic: str, qos: Any) -> Any:
        """Note when a chunk is on its way: what the node does afterwards delays nobody."""
        publisher = super().own_lifecycle_publisher(message, topic, qos)
        if message is JointTrajectory:
            publish = publisher.publish

            def timed(chunk: Any) -> None:
                publish(chunk)
                self._sent = time.monotonic()

            publisher.publish = timed
        return publisher

    def create_timer(self, period: float, callback: Callable[[], None], **options: Any) -> Any:
        """Note when the timer of the control rate, which asks for chunks, begins."""
        def timed() -> None:
            self._tick_times.append(time.monotonic())
            callback()

        asks = callback == self._on_tick
        return super().create_timer(period, timed if asks else callback, **options)

    def on_chunk(self, chunk: ActionChunk, work: Request[Any]) -> None:
        """Publish, then tell where the time went."""
        super().on_chunk(chunk, work)
        published = self._sent
        calls = [self._image_spans[stamp_of(message)] for message in work.snapshot.images.values()]
        (begin, end), (model_begin, model_end) = self._infer_span, self._timed_policy.passes[-1]
        tick = max(one for one in tuple(self._tick_times) if one < begin)
        forward = model_end - model_begin
        self._bench.tell(parts=Parts(
            callbacks=sum(leave - enter for enter, leave in calls),
            slot_wait=tick - max(leave for _, leave in calls), request=begin - tick,
            preparation=end - begin - forward, forward=forward, publishing=published - end))

    def _load_timed(self, path: str) -> Any:
        self._timed_policy = Inference(path, 0.0, self._bench.settings['repeats'])
        policy = self._timed_policy.policy
        untimed = policy.infer

        def infer(observation: Observation) -> ActionChunk:
            begin = time.monotonic()
            chunk: ActionChunk = untimed(observation)
            self._infer_span = begin, time.monotonic()
            return chunk

        policy.infer = infer
        return policy


def measure(checkpoint: str, chunks: int, repeats: int, forward: float = FORWARD,
            progress: Callable[[str], None] = lambda text: None) -> list[list[Sample]]:
    """Return the chunks of every repeat.

    Args:
        checkpoint: folder or name of one in models.
        chunks: how many in a repeat.
        repeats: how often.
        forward: how long a forward pass lasts at least, [s].
        progress: hears what is done.

    """
    environment = process_environment()
    folder = str(find_checkpoint(checkpoint))
    with ExitStack() as stack:
        alone = stack.enter_context(Child('bench.inference', {
            'checkpoint': folder, 'forward': forward, 'loop': False}, environment))
        repeats_of_model = alone.expect('repeats', timeout=120.0)  # the same for both
        robot = stack.enter_context(Child('bench.robot', ROBOT, environment))
        node = stack.enter_context(Child('bench.node_work', {
            'checkpoint': folder, 'robot': str(find_contract('simulated_arm')),
            'repeats': repeats_of_model, 'replan_period': 5.0 * forward}, environment))
        robot.expect('heard', timeout=120.0)
        robot.ask(play=0.0)

        def sample() -> Sample:
            parts = Parts(*node.expect('parts'))
            alone.ask(forward=True)
            return Sample(parts, alone.expect('seconds'))

        for _ in range(WARM_UP):
            sample()
        found = []
        for repeat in range(repeats):
            progress(f'work of the policy node {repeat + 1}/{repeats}')
            found.append([sample() for _ in range(chunks)])
        return found


def main() -> None:
    """Run the node until the end."""
    bench = Bench()
    rclpy.init()
    node = TimedNode(bench)
    if not node.start():
        raise VlaDropError(node.failure)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not bench.ended.is_set():
        executor.spin_once(timeout_sec=SPIN_TIMEOUT)
    node.close()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
