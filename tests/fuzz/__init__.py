"""Hostile input by the thousand: `make fuzz`, or `python -m tests.fuzz KIND --first 1234 --cases 1` for one case again.

A kind of input is a file in kinds/: it makes case after case from a seed and a number, so that every case can be made again. Cases run in a
process of their own, which says before each what it is about to do; so a crash, a hang, or too much memory is known by its case (run.py, child.py).
"""
