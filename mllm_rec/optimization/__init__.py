"""How systems are trained: ``losses``, ``sampling`` of negatives, and ``fit``, the one training loop."""
