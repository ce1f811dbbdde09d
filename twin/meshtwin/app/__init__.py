"""Processes and what they are put together from."""

import os

# Before numpy is loaded. A twin's matrices are small: a second thread of OpenBLAS spins for as long as the first one
# works, and an estimate of 300 nodes took 66 ms of processor time in place of 47.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
