"""Makes tsne.json: three clusters of vectors, places in the plane, and the divergence that scikit-learn's t-SNE gives these.

vectors, clusters    60 vectors of 8 numbers, and which of three clusters each is of
places               where they are to lie
divergence           the Kullback-Leibler divergence of these places, by `_joint_probabilities_nn` over the 30 nearest neighbours
                     and `_kl_divergence_bh` with an angle of 0, which makes it exact
best_divergence      what TSNE(init="random") comes to with the same perplexity; the least of five seeds
"""

import json

import numpy as np
from sklearn.manifold import TSNE, _t_sne
from sklearn.neighbors import NearestNeighbors

from common import output_argument

PERPLEXITY = 10.0


def main():
    output = output_argument(__doc__).parse_args().output
    rng = np.random.default_rng(7)
    clusters = np.repeat([0, 1, 2], 20)
    centres = rng.normal(size=(3, 8)) * 3
    vectors = (centres[clusters] + rng.normal(size=(60, 8))).round(4)
    places = (rng.normal(size=(60, 2)) * 5).round(4)
    neighbours = NearestNeighbors(n_neighbors=int(3 * PERPLEXITY)).fit(vectors)
    squared = neighbours.kneighbors_graph(mode="distance")
    squared.data **= 2
    joint = _t_sne._joint_probabilities_nn(squared, PERPLEXITY, verbose=0)
    divergence, _ = _t_sne._kl_divergence_bh(places.ravel().astype(np.float32), joint, 1, 60, 2, angle=0.0)
    runs = [TSNE(perplexity=PERPLEXITY, init="random", random_state=seed).fit(vectors).kl_divergence_ for seed in range(5)]
    golden = {
        "vectors": vectors.tolist(),
        "clusters": clusters.tolist(),
        "places": places.tolist(),
        "perplexity": PERPLEXITY,
        "divergence": float(divergence),
        "best_divergence": float(min(runs)),
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "tsne.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
