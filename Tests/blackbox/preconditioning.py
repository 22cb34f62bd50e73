"""What preconditioners must be, in float64: dense matrices and numpy's solver, for black-box tests."""

import numpy as np


def matrix(rows, kind="dense", damping=None):
    """(H, λ) of float vectors [n, dims]. `damping` None is a tenth of the undamped diagonal's mean."""
    rows = np.asarray(rows, np.float64)
    mean = rows.T @ rows / len(rows)
    if damping is None:
        damping = 0.1 * np.trace(mean) / len(mean)
    if kind == "diagonal":
        mean = np.diag(np.diag(mean))
    return mean + damping * np.eye(len(mean)), damping


def inverse(h, vectors):
    """H⁻¹ of each row."""
    return np.linalg.solve(h, np.asarray(vectors, np.float64).T).T


def squared_norms(h, vectors):
    """gᵀH⁻¹g of each row g."""
    vectors = np.asarray(vectors, np.float64)
    return (vectors * inverse(h, vectors)).sum(axis=1)


def arguments(name, **options):
    """The words of `gradctl precondition`; lists are repeated options."""
    words = ["precondition", "t", "--name", name]
    for option, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            flag = "--" + option.replace("_", "-")
            words += [flag] if each is True else [flag, each]
    return words
