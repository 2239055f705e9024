"""Fakes of Keystart's peers: AWS, Lambda's Extensions API, proxies, and partners with certificates."""
