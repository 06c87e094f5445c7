"""What everything else is said in: ids, units, clocks, seeded identity and the error tree.

Pure. Imports nothing of ours; calls no clock, no global random, no operating system.
"""
