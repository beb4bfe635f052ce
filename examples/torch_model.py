"""Audit a PyTorch classifier of your own: the network, how it is trained, and the audit."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import unseen


def network() -> torch.nn.Module:
    """Return the untrained network."""
    return torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))


RECIPE = unseen.TorchRecipe(network, classes=range(10), optimizer="adam", learning_rate=1e-3, epochs=60, batch_size=32)


def main() -> None:
    """Train on half of the digits, and ask sixteen networks trained alike what the one knows of its members."""
    images, digits = load_digits(return_X_y=True)
    X_in, X_out, y_in, y_out = train_test_split(images / 16, digits, test_size=0.5, random_state=0)
    model = RECIPE.refit(X_in, y_in, seed=1)
    print(unseen.audit(model, (X_in, y_in), (X_out, y_out), recipe=RECIPE, references=16))


if __name__ == "__main__":
    main()
