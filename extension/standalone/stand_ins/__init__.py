"""Modules that take the place of Python's own in the executable, where those cost a start a tenth of its CPU.

freeze.py puts them in. Each has what the frozen modules and the interpreter use of the one whose place it takes.
"""
