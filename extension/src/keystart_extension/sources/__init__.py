"""Fetch secrets: `native` with AWS's SDK in the core, `boto3` with boto3. Nothing switches from one to the other."""
