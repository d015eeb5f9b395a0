"""Groups of rows that are alike."""

import torch
from torch import Tensor

#: Rows from which on the centers are sought in portions.
MANY = 20_000


def centers(values: Tensor, count: int) -> Tensor:
    """``(min(count, n), width)`` centers of a k-means of ``values`` ``(n, width)``; the same for the same values.

    Source:
        Sculley. Web-scale k-means clustering. WWW 2010 (from ``MANY`` rows on); Lloyd 1982.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    kind = MiniBatchKMeans if len(values) > MANY else KMeans
    found = kind(min(count, len(torch.unique(values, dim=0))), n_init=1, random_state=0).fit(values.cpu().numpy())
    return torch.from_numpy(found.cluster_centers_).to(values)
