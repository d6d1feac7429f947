# SPDX-License-Identifier: Apache-2.0
"""A line a quantity, a column an arm, a column a difference, with their numbers of pairs."""

from math import nan

from vla_drop_ros.report.measured_table import measured_table
from vla_drop_ros.report.measurements import Measured
from vla_drop_ros.trials.statistics import Interval


def test_numbers_have_units_and_counts() -> None:
    """Units in the name, n of an arm where arms differ, interval and n of the pairs."""
    table = measured_table([
        Measured('power', 'host.gpu_power', 'W', 1, (120.04, 95.0), (9, 9), (9,),
                 (Interval(-25.0, -27.04, -22.5, 0.95),)),
        Measured('jerk', 'motion.jerk', '', 2, (9.0, nan), (9, 0), (0,),
                 (Interval(nan, nan, nan, 0.95),)),
        Measured('few', 'x', 's', 0, (1.0, 2.0), (3, 3), (3,), (Interval(1.0, nan, nan, 0.95),))],
        ['whole', 'half'], 'caption')
    assert table.head == ('', 'whole', 'half', 'half minus whole')
    assert table.rows == (
        ('power [W]', '120.0', '95.0', '-25.0 [-27.0, -22.5], n = 9'),
        ('jerk', '9.00 (n = 9)', '- (n = 0)', '-'), ('few [s]', '1', '2', '+1, n = 3'))
