"""Are what secrets are fetched with: `native`, AWS's SDK in the core, or `boto3`. Nothing switches from one to the other."""
