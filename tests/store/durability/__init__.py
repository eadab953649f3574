"""Crashes, power loss, full disks, late writers: what is acknowledged stays."""
