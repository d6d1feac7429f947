# SPDX-License-Identifier: Apache-2.0
"""``python -m vla_drop_ros`` is ``vla_drop``."""

import sys

from vla_drop_ros.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
