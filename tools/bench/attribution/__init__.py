"""The parts of fidelity.py: what GradDB's answers are worth, by bytes a row."""
