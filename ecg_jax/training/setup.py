"""A configuration becomes the objects of a run: data, network, optimizer, compiled steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict
from rich.console import Console

from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.data import prediction_tables, sources
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.sampling import Order
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.evaluation import metrics, predictions, regression
from ecg_jax.kinds import NUMBER
from ecg_jax.models.outputs import Scale
from ecg_jax.runtime import parallel as parallel_lib
from ecg_jax.runtime import run_folder
from ecg_jax.training import augment, losses, optimizers, run_data, starting_weights, state, steps, transfer


@dataclasses.dataclass(frozen=True)
class Setup:
    """Everything of a run that does not change while it runs.

    Attributes:
        config: Its configuration.
        workdir: Its folder.
        examples: Its data.
        order: Of the training recordings.
        parallel: How it uses devices.
        trainable: Tree of bool like the parameters.
        schedule: Learning rate by step.
        train_step: Compiled; where `train.steps_per_call` is not 1, of that many steps on as many batches.
        eval_step: Compiled.
        monitor: Metric on validation that chooses the best network, see `checkpoint.monitor`.
        scale: Of the network's outputs, where its labels are numbers; None where they are findings.
        total_steps: Length at most.
        eval_every: Steps between evaluations.
        checkpoint_every: Steps between checkpoints.
    """

    config: ConfigDict
    workdir: str
    examples: sources.Source
    order: Order
    parallel: parallel_lib.Parallel
    trainable: Any
    schedule: optax.Schedule
    train_step: steps.TrainStep
    eval_step: steps.EvalStep
    monitor: str
    scale: Scale | None
    total_steps: int
    eval_every: int
    checkpoint_every: int

    @property
    def kind(self) -> str:
        """Of the labels, one of `kinds.KINDS`."""
        return self.examples.dataset.kind

    def summarize(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """Scores of predictions `[n, C]`, by the names in `kinds.SCORES`; of numbers the loss is that of training."""
        if self.scale is None:
            return metrics.compute_summary(labels, predicted)
        loss_fn = losses.create(**self.config.loss, num_labels=labels.shape[1], scale=self.scale)
        loss_sum, count = loss_fn(jnp.asarray(self.scale.standardize(predicted)), jnp.asarray(labels))
        return regression.compute_summary(labels, predicted) | {"loss": float(loss_sum / count) if count else np.nan}


def create(
    config: ConfigDict,
    workdir: str,
    *,
    console: Console,
    dataset: Dataset | None = None,
) -> tuple[Setup, state.TrainState]:
    """Builds a run and claims its folder.

    Args:
        config: A checked configuration.
        workdir: The run folder.
        console: Where what is decided on the way is reported.
        dataset: Its data, not yet split, where the caller has opened it.

    Returns:
        The setup and the state at step 0, placed on the devices.

    Raises:
        InputError: on anything in the configuration or the data that cannot work.
    """
    sources.check_settings(config.data)
    train = config.train
    parallel = parallel_lib.create(
        **config.parallel,
        batch_size=train.batch_size,
        accumulate=train.accumulate,
        steps_per_call=train.steps_per_call,
    )
    contract = InputContract.from_dict(config.contract)
    has_begun = _check_folder(config, workdir, console)
    dataset = run_data.assign(config, dataset or run_data.open_dataset(config, workdir, console))
    predictions.check_names(dataset.label_names)  # before training, not when it is evaluated
    prediction_tables.check_labels(dataset.label_names)
    examples = sources.create(config.data, contract, dataset)
    examples.check_data(config, parallel.replicated)
    order = Order(
        dataset,
        config.seed,
        config.data.sampling,
        batch_size=train.batch_size,
        random_crop=config.data.crop == "random",
    )
    monitor = _choose_monitor(dataset, config.checkpoint.monitor, console)
    total_steps, eval_every, checkpoint_every = _count_steps(config, len(dataset.indices("train")))
    _check_calls(config, total_steps=total_steps, eval_every=eval_every, checkpoint_every=checkpoint_every)
    _check_length(workdir, total_steps)
    schedule = create_schedule(config, total_steps)
    num_labels, scale = len(dataset.label_names), None
    if dataset.kind == NUMBER:
        scale = Scale.measure(dataset.labels[dataset.indices("train")], dataset.label_names)
    network = create_network(config, num_labels, axis_name=parallel.norm_axis_name)
    params, modules = models.shapes(network, contract.shape)["params"], models.list_modules(network, contract.shape)
    trainable = transfer.create_trainable_mask(params, **config.freeze, modules=modules)
    tx = optimizers.create(**dict(config.optimizer) | {"learning_rate": schedule}, trainable=trainable, modules=modules)
    train_step = steps.create_train_step(
        network,
        create_recipe(config, tx, trainable, contract, num_labels, scale),
        axis_name=parallel.axis_name,
        sync_batchnorm=config.parallel.sync_batchnorm,
        decode=examples.decode_train,
    )
    if train.steps_per_call > 1:
        train_step = steps.create_scanned_step(train_step, examples.gather)
    eval_step = steps.create_eval_step(network, axis_name=parallel.axis_name, decode=examples.decode)

    # Nothing is written before this.
    run_folder.claim(workdir, config, manifest.create(dataset), has_begun=has_begun)
    variables = models.init(network, jax.random.key(config.seed), contract.shape)
    if not has_begun:  # else they are in the state that continues
        labels = dataset.label_names
        variables, inherited = starting_weights.load(config, variables, console, labels=labels, scale=scale)
        run_folder.write_inherited(workdir, inherited)
    setup = Setup(
        config=config,
        workdir=workdir,
        examples=examples,
        order=order,
        parallel=parallel,
        trainable=trainable,
        schedule=schedule,
        train_step=parallel.compile_train(train_step),
        eval_step=parallel.compile_eval(eval_step),
        monitor=monitor,
        scale=scale,
        total_steps=total_steps,
        eval_every=eval_every,
        checkpoint_every=checkpoint_every,
    )
    initial = state.create(variables, tx=tx, seed=config.seed, ema_decay=train.ema_decay)
    return setup, parallel.replicate(initial)


def _check_folder(config: ConfigDict, workdir: str, console: Console) -> bool:
    """Whether the run has begun; checked before the data is looked at, which may take a while."""
    if not run_folder.has_state(workdir):
        starting_weights.require(config.init.weights)
        return False
    for line in run_folder.check_config(workdir, config):
        console.print(f"Changed since the run began: {line}")
    return True


def _count_steps(config: ConfigDict, recordings: int) -> tuple[int, int, int]:
    """Steps of the run, between evaluations, and between checkpoints."""
    train = config.train
    per_epoch = max(1, -(-recordings // train.batch_size))
    eval_every = train.eval_every or per_epoch
    return train.steps or max(1, round(train.epochs * per_epoch)), eval_every, config.checkpoint.every or eval_every


def _check_length(workdir: str, total_steps: int) -> None:
    """Refuses to end a run before the step that it has reached."""
    made = run_folder.last_step(workdir) or 0
    if total_steps < made:
        raise InputError(
            f"{workdir}: the run has made {made} steps, more than the {total_steps} of train.steps or train.epochs; "
            "raise it, or pass another --workdir"
        )


def _check_calls(config: ConfigDict, *, total_steps: int, eval_every: int, checkpoint_every: int) -> None:
    """Refuses intervals that are no multiples of the steps in one call."""
    steps = config.train.steps_per_call
    lengths = {
        "train.steps": total_steps,
        "train.eval_every": eval_every,
        "checkpoint.every": checkpoint_every,
        "train.log_every": config.train.log_every,
    }
    wrong = [f"{name}={length // steps * steps or steps}" for name, length in lengths.items() if length % steps]
    if wrong:
        raise InputError(
            f"train.steps_per_call is {steps}, of which what happens between calls must be multiples; "
            f"set {', '.join(wrong)}"
        )


def _choose_monitor(dataset: Dataset, monitor: str, console: Console) -> str:
    """The metric that chooses the best network: the configured one, if it is defined on the validation split."""
    for name in ("validation", "test"):
        if not len(dataset.indices(name)):
            raise InputError(f"data set {dataset.name}: no recording in the {name} split; give it one that has some")
    labels = dataset.labels[dataset.indices("validation")]
    if dataset.kind == NUMBER:
        if np.isnan(labels).all():
            raise InputError(f"data set {dataset.name}: no label is known in the validation split")
        differ = np.nanmin(labels, axis=0, initial=np.inf) < np.nanmax(labels, axis=0, initial=-np.inf)
        if monitor in ("r2", "pearson") and not differ.any():
            console.print(f"No label has two values in the validation split: monitoring loss, not {monitor}")
            return "loss"
        return monitor
    if monitor != "loss" and not np.any((labels == 1).any(axis=0) & (labels == 0).any(axis=0)):
        console.print(f"No label is both present and absent in the validation split: monitoring loss, not {monitor}")
        return "loss"
    return monitor


def create_network(config: ConfigDict, num_labels: int, axis_name: str | None = None) -> models.Network:
    """Builds `config.model`.

    Raises:
        InputError: on unknown names, and on a network of `models.COMPARISONS` with settings that
            concern the reference's layers.
    """
    if config.model.name in models.COMPARISONS:
        _check_comparison(config)
    theirs = starting_weights.find_variant(config.init.weights)
    if theirs and (different := [key for key, value in theirs.items() if config.model.variant[key] != value]):
        listed = ", ".join(f"model.variant.{key}={theirs[key]}" for key in different)
        raise InputError(f"init.weights={config.init.weights} has {listed}; set it, or start from other weights")
    return models.create(**config.model, num_labels=num_labels, axis_name=axis_name)


def _check_comparison(config: ConfigDict) -> None:
    """Names at once everything that a configuration of the transfer model has to change for another network."""
    remedies = {
        "model.head=dense": config.model.head == "transfer",
        "init.weights= (nothing, or a run folder)": starting_weights.are_of_the_reference(config.init.weights),
        "freeze.first_keras_layers=0": config.freeze.first_keras_layers > 0,
    }
    needed = [remedy for remedy, is_needed in remedies.items() if is_needed]
    if needed:
        raise InputError(
            f"model.name is {config.model.name!r}, which has none of the reference's layers to start from, cut or "
            f"freeze; set {', '.join(needed)}"
        )


def scale_learning_rate(config: ConfigDict) -> float:
    """The peak of the learning rate: `config.optimizer.learning_rate`, scaled as `config.schedule` has it."""
    scaling = {key: config.schedule[key] for key in ("batch_scaling", "base_batch_size")}
    return optimizers.scale_learning_rate(config.optimizer.learning_rate, **scaling, batch_size=config.train.batch_size)


def create_schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """Builds `config.schedule`."""
    settings = {key: config.schedule[key] for key in ("name", "warmup_fraction", "final_fraction")}
    return optimizers.create_schedule(**settings, learning_rate=scale_learning_rate(config), steps=total_steps)


def create_recipe(
    config: ConfigDict,
    tx: optax.GradientTransformation,
    trainable: Any,
    contract: InputContract,
    num_labels: int,
    scale: Scale | None = None,
) -> steps.Recipe:
    """Builds what `config` says about learning."""
    augmentations = dict(config.augment)
    mixup = augmentations.pop("mixup")
    usual = tuple(deviation * contract.units_per_millivolt for deviation in contract.usual_deviations)
    augmentations |= {"leads": contract.leads, "sampling_rate": contract.sampling_rate, "usual_deviations": usual}
    return steps.Recipe(
        tx=tx,
        trainable=trainable,
        loss_fn=losses.create(**config.loss, num_labels=num_labels, scale=scale),
        augment=augment.create(**augmentations),
        mixup=augment.create_mixup(mixup),
        ema_decay=config.train.ema_decay,
        accumulate=config.train.accumulate,
        on_nonfinite=config.train.nonfinite,
    )
