"""The numbers of `blend` and of whitening that are not learned, for JAX and PyTorch."""

FAST, SLOW, SQUARE = 0.9, 0.99, 0.999
DIRECTIONS, FEATURES = 3, 14
KAPPA = 0.15
"""How much a length may change a step, as a logarithm, in runs of up to STEPS."""
FARTHEST = 5.0
"""How much lengths may change a step over a whole run, as a logarithm."""
BY_DEPTH, BY_ASPECT = 0.6, 0.25
"""Powers by which steps are shorter in networks of many matrices, and of matrices that are long."""
WARM_UP = 0.05
TAU = 100.0
STEPS = 500
"""T up to which κ, the warm-up and the later lengths do not depend on it."""
CEILING = 10.0
"""Of a tensor's size: a large one grows by a part of this a step, and not of itself."""
FAINT = 0.05
"""Of m_.9 beside ∇ of late, below which steps become shorter; noise alone makes it 0.23."""
TINY = 1e-30

COEFFICIENTS = (3.4445, -4.775, 2.0315)
ITERATIONS = 5
ROWS = 32
"""Of a block that is whitened, at most."""
