"""ItemKNN: what goes with the items you chose, by how many people chose both.

Deshpande and Karypis. Item-Based Top-N Recommendation Algorithms. ACM TOIS 22(1), 2004.
https://doi.org/10.1145/963770.963776 (after Sarwar et al. WWW 2001. https://doi.org/10.1145/371920.372071)

Two items are alike if the same users chose them: the cosine of their columns, damped where few did. Each item keeps
its nearest neighbors only; a user's score for an item sums the similarity of each item of the history to it.

Related: EASE learns the weights by regression instead of reading them from the counts.
Differs from the paper: the damping (shrinkage) is Bell and Koren's (ICDM 2007); there is no conditional-probability variant.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.sparse import csr
from mllm_rec.interaction import bridge
from mllm_rec.recommender import ItemToItem

#: Items whose neighbors are sought at once.
BLOCK = 2048


class ItemKNN(ItemToItem):
    @dataclass(frozen=True)
    class Settings:
        neighbors: int = 20  #: items that each item recommends (k)
        shrink: float = 10.0  #: added to the denominator of the cosine; damps similarities that few users support

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)

    def solve(self) -> None:
        """Similarities of all pairs that share a user, in blocks of rows; the nearest of each row are kept."""
        starts, items = self.data.user_items.crow_indices().numpy(), self.data.user_items.col_indices().numpy()
        chosen = sparse.csr_matrix((np.ones(len(items), dtype=np.float32), items, starts), self.data.shape)
        by_item = chosen.T.tocsr()
        length = np.sqrt(np.diff(by_item.indptr)).astype(np.float32)
        blocks = [
            self._nearest((by_item[first : first + BLOCK] @ chosen).tocoo(), first, length)
            for first in range(0, self.data.num_items, BLOCK)
        ]
        kept = sparse.vstack(blocks, format="csr")
        kept.sort_indices()
        row_starts, neighbors = kept.indptr.astype(np.int64), kept.indices.astype(np.int64)
        self.weights = csr(torch.from_numpy(row_starts), torch.from_numpy(neighbors), torch.from_numpy(kept.data), kept.shape)

    def _nearest(self, both: sparse.coo_matrix, first: int, length: np.ndarray) -> sparse.csr_matrix:
        other = both.col != both.row + first
        row, column, count = both.row[other], both.col[other], both.data[other]
        similar = count / (length[row + first] * length[column] + self.settings.shrink)
        kept, _ = bridge.strongest(row, column, similar, self.settings.neighbors)
        return sparse.csr_matrix((similar[kept].astype(np.float32), (row[kept], column[kept])), both.shape)
