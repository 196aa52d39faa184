"""Benchmarks: agentrun beside its peers and a bare HTTP loop. `python -m benchmarks` runs them; see README.md."""
