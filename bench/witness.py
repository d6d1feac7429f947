# SPDX-License-Identifier: Apache-2.0
"""A process that only sleeps until its next tick: what it misses, the machine could not give.

It knows neither ROS nor torch. Beside a control loop it tells whether a late tick says something
about the loop, or only that other work kept the processor. Settings: ``rate`` [Hz]. Asked
``{"report": true}`` it tells the ``ticks`` since it began, on the clock that all processes share.
"""

import time

from bench.child import Bench


def main() -> None:
    """Tick until the end."""
    bench = Bench()
    period, begin = 1.0 / bench.settings['rate'], time.monotonic()
    ticks: list[float] = []
    bench.tell(ready=True)
    while not bench.ended.is_set():
        now = time.monotonic()
        due = begin + (int((now - begin) / period) + 1) * period  # those that passed are missed
        time.sleep(due - now)
        ticks.append(time.monotonic())
        if bench.is_asked and bench.asked() is not None:
            bench.tell(ticks=ticks)


if __name__ == '__main__':
    main()
