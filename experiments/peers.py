"""The published network in other frameworks, to be timed beside ours by `throughput.py`.

Each `create_*` returns what that framework's users would run for one mode, `train`, `predict` or
`latency`: a function that makes a number of steps. Random signals and labels; Adam; dropout 0.2.
"""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

SAMPLES, LEADS, LABELS = 4096, 12, 6
TAPS, STRIDE, STEM, FILTERS = 16, 4, 64, (128, 196, 256, 320)
DROPOUT, EPSILON, MOMENTUM = 0.2, 1e-3, 0.99

Run = Callable[[int], Any]


def draw(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Signals `[count, 4096, 12]` and labels `[count, 6]`, float32."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((count, SAMPLES, LEADS), np.float32)
    return signal, rng.integers(0, 2, (count, LABELS)).astype(np.float32)


def create_keras(mode: str, batch_size: int, dtype: str) -> Run:
    """Keras on TensorFlow: `fit` and `predict` over as many batches as there are steps."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    if dtype == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")

    def convolve(x: Any, filters: int, taps: int = TAPS, stride: int = 1) -> Any:
        return layers.Conv1D(filters, taps, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)

    def activate(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM)(x))

    signal = layers.Input((SAMPLES, LEADS))
    x = skip = activate(convolve(signal, STEM))
    for filters in FILTERS:
        x = layers.Dropout(DROPOUT)(activate(convolve(x, filters)))
        skip = convolve(layers.MaxPooling1D(STRIDE, padding="same")(skip), filters, 1)
        skip = layers.Add()([convolve(x, filters, stride=STRIDE), skip])
        x = layers.Dropout(DROPOUT)(activate(skip))
    output = layers.Dense(LABELS, activation="sigmoid", dtype="float32")(layers.Flatten()(x))
    model = keras.Model(signal, output)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")

    inputs, labels = draw(batch_size * 4)

    def run(steps: int) -> None:
        if mode == "latency":
            for _ in range(steps):
                np.asarray(model(inputs[:1], training=False))
            return
        repeated = [np.resize(array, (batch_size * steps, *array.shape[1:])) for array in (inputs, labels)]
        if mode == "train":
            model.fit(*repeated, batch_size=batch_size, verbose=0)
        else:
            model.predict(repeated[0], batch_size=batch_size, verbose=0)

    return run


def _create_torch_network() -> Any:
    import torch
    from torch import nn

    def convolve(channels: int, filters: int, stride: int = 1) -> nn.Module:
        padding = (6, 6) if stride == STRIDE else (7, 8)  # as TensorFlow's "same"
        return nn.Sequential(nn.ConstantPad1d(padding, 0.0), nn.Conv1d(channels, filters, TAPS, stride, bias=False))

    def activate(channels: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(channels, eps=EPSILON, momentum=1 - MOMENTUM), nn.ReLU())

    class Unit(nn.Module):
        def __init__(self, channels: int, filters: int) -> None:
            super().__init__()
            self.first = nn.Sequential(convolve(channels, filters), activate(filters), nn.Dropout(DROPOUT))
            self.second = convolve(filters, filters, STRIDE)
            self.skip = nn.Sequential(nn.MaxPool1d(STRIDE), nn.Conv1d(channels, filters, 1, bias=False))
            self.last = nn.Sequential(activate(filters), nn.Dropout(DROPOUT))

        def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            x, skip = pair
            total = self.second(self.first(x)) + self.skip(skip)
            return self.last(total), total

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(convolve(LEADS, STEM), activate(STEM))
            self.units = nn.Sequential(*map(Unit, (STEM, *FILTERS), FILTERS))
            self.head = nn.Linear(SAMPLES // STRIDE ** len(FILTERS) * FILTERS[-1], LABELS)

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            x = self.stem(signal)
            return self.head(self.units((x, x))[0].flatten(1))

    return Network()


def create_torch(mode: str, batch_size: int, dtype: str, compiled: bool = False) -> Run:
    """PyTorch, on a GPU if there is one; `compiled` is torch.compile."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
    network = _create_torch_network().to(device).train(mode == "train")
    forward = torch.compile(network) if compiled else network
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=device == "cuda" or None)
    loss_of = torch.nn.BCEWithLogitsLoss()
    inputs, labels = draw(1 if mode == "latency" else batch_size)
    host = torch.from_numpy(inputs.transpose(0, 2, 1).copy())
    signal, label = host.to(device), torch.from_numpy(labels).to(device)
    precision = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with precision:
            logits = forward(signal)
        loss_of(logits.float(), label).backward()
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode(), precision:
            logits = forward(host.to(device) if mode == "latency" else signal)
        if mode == "latency":
            logits.float().cpu().numpy()

    def run(steps: int) -> None:
        for _ in range(steps):
            train() if mode == "train" else predict()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def create_torch_compiled(mode: str, batch_size: int, dtype: str) -> Run:
    """PyTorch with torch.compile."""
    return create_torch(mode, batch_size, dtype, compiled=True)


def create_onnxruntime(mode: str, batch_size: int, dtype: str) -> Run:
    """ONNX Runtime, on the network that PyTorch exports; it does not train."""
    if mode == "train" or dtype != "float32":
        raise NotImplementedError("it predicts in float32 alone")
    import onnxruntime
    import torch

    inputs = draw(1 if mode == "latency" else batch_size)[0].transpose(0, 2, 1).copy()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        axes = {"signal": {0: "batch"}}
        network = _create_torch_network().eval()
        torch.onnx.export(
            network, (torch.zeros(1, LEADS, SAMPLES),), path, input_names=["signal"], dynamic_axes=axes, dynamo=False
        )
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        session = onnxruntime.InferenceSession(path, providers=providers)

    def run(steps: int) -> None:
        for _ in range(steps):
            session.run(None, {"signal": inputs})

    return run


PEERS = {
    "keras": create_keras,
    "torch": create_torch,
    "torch_compiled": create_torch_compiled,
    "onnxruntime": create_onnxruntime,
}
