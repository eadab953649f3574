"""Run by every Python process of a server under test before anything else: plants its bug there."""

import os

from tests.planted.bugs import all_bugs

all_bugs()[os.environ["PLANTED_BUG"]].plant()
