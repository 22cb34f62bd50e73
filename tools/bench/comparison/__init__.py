"""The parts of compare.py: data, systems, report."""
