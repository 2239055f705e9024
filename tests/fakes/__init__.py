"""Fakes of what Keystart talks to: AWS, Lambda's Extensions API, proxies, and partners with certificates."""
