"""Search: features by concept, over routes that each rank features in their own way and are fused by rank."""
