# SPDX-License-Identifier: Apache-2.0
"""A machine in a folder, for tests: files of /proc and /sys, and a tool that says what it is told.

What the files hold is as a desktop computer, and a Jetson AGX Orin, have it.
"""

from pathlib import Path
import shlex

DESKTOP = {
    'proc/stat': 'cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 100 0 100 700 100 0 0 0 50 0\n',
    'proc/meminfo': 'MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:    400 kB\n',
    'sys/class/thermal/thermal_zone0/temp': '41000\n',
    'sys/class/thermal/thermal_zone1/temp': '-274000\n',
    'sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count': '7\n',
    'sys/class/thermal/cooling_device0/type': 'Fan\n',
    'sys/class/thermal/cooling_device0/cur_state': '3\n'}
JETSON = {
    'sys/devices/platform/bus@0/17000000.gpu/load': '725\n',
    'sys/class/thermal/cooling_device0/type': 'pwm-fan\n',
    'sys/class/thermal/cooling_device0/cur_state': '2\n',
    'sys/class/thermal/cooling_device1/type': 'gpu-throttle-alert\n',
    'sys/class/thermal/cooling_device1/cur_state': '0\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_label': 'VDD_GPU_SOC\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input': '19000\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input': '500\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_label': 'VDD_CPU_CV\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_input': '19000\n',
    'sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr2_input': '100\n'}


def build(root: Path, files: dict[str, str]) -> Path:
    """Write the files of a machine; return its root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def tool(path: Path, said: str, then: str = 'exit 0') -> str:
    """Write a program that says something and then does something; return its path.

    Its arguments are kept beside it in ``<name>.asked``, one call a line.
    """
    path.write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(f"{path}.asked")}\n'
                    f'printf %s {shlex.quote(said)}\n{then}\n')
    path.chmod(0o755)
    return str(path)
