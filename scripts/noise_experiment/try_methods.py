"""Print the test accuracy of each method: `python -m scripts.noise_experiment.try_methods`."""

import argparse
import time

import numpy as np

from scripts.noise_experiment.datasets import DATASETS, flip_uniformly, load_split
from scripts.noise_experiment.methods import methods_given


def main() -> None:
    """Fit each method for each seed and print a line of it."""
    parser = argparse.ArgumentParser(description="Test accuracy of the methods under uniform label noise.")
    parser.add_argument("--dataset", choices=DATASETS, default="digits")
    parser.add_argument("--noise-rate", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds, from 0")
    options = parser.parse_args()

    seeds = range(options.seeds)
    splits = [load_split(options.dataset, seed) for seed in seeds]
    print(
        f"{options.dataset}, noise rate {options.noise_rate:g}, test accuracy for the seeds 0 to {max(seeds)}"
    )
    for name, method in methods_given(options.noise_rate).items():
        accuracies = []
        start = time.perf_counter()
        for seed, split in zip(seeds, splits, strict=True):
            y_noisy = flip_uniformly(split.y_train, split.num_classes, options.noise_rate, seed)
            model = method(split.X_train, y_noisy, split.num_classes, seed)
            predicted = model.predict_proba(split.X_test).argmax(axis=1)
            accuracies.append(float(np.mean(predicted == split.y_test)))
        seconds = (time.perf_counter() - start) / len(seeds)
        print(f"{name:<24}{'  '.join(f'{a:.3f}' for a in accuracies)}   {seconds:.1f} s each")


if __name__ == "__main__":
    main()
