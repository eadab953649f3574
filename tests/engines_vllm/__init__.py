"""The real vLLM on a CPU, behind both dialects: `make test-engines`."""
