"""The generator behind the demo shop's pictures: silhouettes, surfaces, items, rooms."""
