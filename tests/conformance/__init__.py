"""The conformance suite: cases of the contract, and a runner for each language."""
