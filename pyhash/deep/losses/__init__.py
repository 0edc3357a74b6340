"""Losses of the deep methods SDCH and DHSL, as PyTorch modules; needs PyTorch.

``forward`` checks its arguments, ``compute`` does the maths. All work in any floating dtype and on any device, and none
looks at values: NaN goes in and out.

SDCH: Cheng Yan, Xiao Bai, Shuai Wang, et al.: Cross-modal Hashing with Semantic Deep Embedding. Neurocomputing, 2019.
DHSL: Ying Ma, Meng Wang, Guangyun Lu, Yajun Sun: Deep Hashing Similarity Learning for Cross-Modal Retrieval. IEEE
Access, 2024.
"""

from pyhash.deep.losses.balance import BalanceLoss
from pyhash.deep.losses.code_similarity import CodeSimilarityLoss
from pyhash.deep.losses.cosine_triplet import WeightedCosineTripletLoss
from pyhash.deep.losses.independence import IndependenceLoss
from pyhash.deep.losses.pair_likelihood import PairLikelihoodLoss
from pyhash.deep.losses.quantization import QuantizationLoss
from pyhash.deep.losses.relation import RelationLoss
from pyhash.deep.losses.row_sparsity import RowSparsityPenalty

__all__ = [
    "BalanceLoss",
    "CodeSimilarityLoss",
    "IndependenceLoss",
    "PairLikelihoodLoss",
    "QuantizationLoss",
    "RelationLoss",
    "RowSparsityPenalty",
    "WeightedCosineTripletLoss",
]
