"""The fuzzer: it asks all readers about made-up stores."""
