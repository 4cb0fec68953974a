"""One evaluation: trains a network on scikit-learn's handwritten digits, and leaves its accuracy in `job.data`."""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from balsam.launcher import dag


def accuracy(point: dict[str, float]) -> float:
    """The share of unseen digits that a network with these hyperparameters reads correctly."""
    images, digits = load_digits(return_X_y=True)
    train_images, test_images, train_digits, test_digits = train_test_split(
        images / 16.0, digits, test_size=0.3, random_state=0
    )
    model = MLPClassifier(
        hidden_layer_sizes=(int(point["hidden"]),),
        learning_rate_init=point["learning_rate"],
        alpha=point["alpha"],
        max_iter=40,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_images, train_digits)
    return float(model.score(test_images, test_digits))


def main() -> None:
    """Train at the point of the command line and report the reward."""
    parser = argparse.ArgumentParser()
    parser.add_argument("point", type=json.loads)
    parser.add_argument("--broken", action="store_true", help="fail, to show what a failed job looks like")
    parser.add_argument("--hang-once", action="store_true", help="hang at the first attempt, to show a timeout")
    options = parser.parse_args()
    if options.broken:
        raise ValueError(f"made to fail on purpose at {options.point}")
    if options.hang_once and os.environ["BALSAM_ATTEMPT"] == "1":
        print("hanging on purpose", flush=True)
        time.sleep(3600)
    reward = accuracy(options.point)
    dag.current_job.data["reward"] = reward
    dag.current_job.save()
    print(f"accuracy {reward:.4f} at {options.point}")


if __name__ == "__main__":
    main()
