# SPDX-License-Identifier: Apache-2.0
"""`vla_drop` with accelerate's FSDP on CPUs: ``torchrun … shard_on_cpus.py recover …``.

accelerate takes up its FSDP plugin on accelerators only. Here its state takes it up on CPUs too,
right after it was made, as it does itself on GPUs; all that follows is accelerate's own.
"""

import sys
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from vla_drop_ros.cli.main import main

made = AcceleratorState.__init__


def take_up(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **more: Any) -> None:
    """Make the state and take up the plugin where accelerate left it lying."""
    new = not self.initialized
    made(self, *args, fsdp_plugin=fsdp_plugin, **more)
    if new and fsdp_plugin is not None:
        assert self.distributed_type == DistributedType.MULTI_CPU
        self.distributed_type = DistributedType.FSDP
        PartialState._shared_state['distributed_type'] = DistributedType.FSDP
        if self.mixed_precision != 'no':
            fsdp_plugin.set_mixed_precision(self.mixed_precision)
        self.fsdp_plugin = fsdp_plugin


AcceleratorState.__init__ = take_up
if __name__ == '__main__':
    sys.exit(main())
