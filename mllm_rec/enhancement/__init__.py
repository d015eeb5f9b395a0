"""Making representations say more: ``contrastive`` (what belongs together, told from what does not), ``disentangled`` (parts that say different things)."""
