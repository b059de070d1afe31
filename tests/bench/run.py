"""Runs the benchmark from any directory: `.venv/bin/python tests/bench/run.py [row ...] [--quick]`."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
runpy.run_module("bench", run_name="__main__", alter_sys=True)
