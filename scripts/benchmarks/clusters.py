"""Clustering and routing of embeddings: the program's FAISS against scikit-learn."""

import numpy as np
from sklearn.cluster import KMeans

from benchmarks.measure import Contest, Figure, Sample, Samples, clocked
from benchmarks.setting import Setting
from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import ITERATIONS, RESTARTS, kmeans, nearest
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.messages import FeatureSums
from fedrouter_sim.randomness import derive_seed, numpy_generator
from fedrouter_sim.routing.router import Router

SPREAD = 0.1  # of the blobs' centres, where the points of a blob have 1: neighbours overlap
TASKS = 4
OURS, SKLEARN, ROUTING = "ours", "scikit-learn", "routing"
SECONDS, INERTIA, SPEED = "seconds", "inertia", "embeddings a second"


def clustering(setting: Setting) -> Contest:
    """k-means of overlapping blobs, and the routing of the same points."""
    sizes, seed = setting.sizes, setting.config.seed
    points = blobs(sizes.points, sizes.features, sizes.clusters, seed)
    normalizer = Normalizer.of("standardize", [FeatureSums.of(points)])
    router = Router(normalizer(points[:TASKS]), normalizer, 1, "")

    def ours(repeat: int) -> Sample:
        found: list[Floats] = []
        key = derive_seed(seed, "benchmark", repeat)
        seconds = clocked(lambda: found.append(kmeans(points, sizes.clusters, key).centroids))
        return {SECONDS: seconds, INERTIA: inertia(points, found[0])}

    def sklearn(repeat: int) -> Sample:
        model = KMeans(
            sizes.clusters, init="k-means++", n_init=RESTARTS, max_iter=ITERATIONS,
            random_state=derive_seed(seed, "benchmark", repeat),
        )  # fmt: skip
        seconds = clocked(lambda: model.fit(points))
        return {SECONDS: seconds, INERTIA: inertia(points, model.cluster_centers_.astype(np.float32))}

    def routing(repeat: int) -> Sample:
        return {SPEED: len(points) / clocked(lambda: router.route(points))}

    def judge(samples: Samples) -> list[Figure]:
        return [
            Figure("speed: ours / scikit-learn", samples.ratio(SKLEARN, OURS, SECONDS), least=1),
            Figure("inertia: ours / scikit-learn", samples.ratio(OURS, SKLEARN, INERTIA), most=1.01),
            Figure("routing, embeddings a second", samples.median(ROUTING, SPEED), least=1e5),
        ]

    return Contest(
        "k-means against scikit-learn, and routing",
        {OURS: ours, SKLEARN: sklearn, ROUTING: routing},
        judge,
        (
            f"{sizes.points:,} x {sizes.features} float32 points of {sizes.clusters} overlapping blobs. Both: "
            f"k-means++, {RESTARTS} restarts, at most {ITERATIONS} iterations. scikit-learn as it comes, in all "
            "threads.",
            f"Routing: standardise, then the nearest of {TASKS} centroids.",
        ),
    )


def blobs(count: int, features: int, clusters: int, seed: int) -> Floats:
    """Return points (count, features) of normal blobs of equal weight that overlap with their neighbours."""
    generator = numpy_generator(seed, "blobs")
    centers = SPREAD * generator.standard_normal((clusters, features), dtype=np.float32)
    points = generator.standard_normal((count, features), dtype=np.float32)
    points += centers[generator.integers(clusters, size=count)]
    return points


def inertia(points: Floats, centroids: Floats) -> float:
    """Return the sum of squared distances to the nearest centroid."""
    return float((nearest(points, centroids).distance ** 2).sum())
