"""The fuzzer that asks all readers about made-up stores."""
