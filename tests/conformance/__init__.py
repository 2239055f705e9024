"""The conformance suite: cases of the contract, and a runner of them for each language."""
