"""Random padded [B,T] inputs, as a tokenizer would have made them.

Rows have given lengths; rows in `left` are padded on the left. Padded label positions, and
positions that have no token to be predicted from, hold -100. All integers are int64, as in
published examples.
"""

import numpy as np

IGNORED = -100


def padded(rng, config, lengths, left=(), width=None, first_id=0):
    """input_ids and attention_mask. Real ids may be the pad id (unless first_id is past it): only
    the mask tells."""
    width = width or max(lengths)
    pad = getattr(config, "pad_token_id", None) or 0
    ids = np.full((len(lengths), width), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        real = slice(width - length, width) if row in left else slice(0, length)
        ids[row, real] = rng.integers(first_id, config.vocab_size, length)
        mask[row, real] = 1
    return {"input_ids": ids, "attention_mask": mask}


def with_types(rng, batch, config):
    """Adds token_type_ids: a first and a second segment in each row, padding 0."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    types = np.zeros_like(ids)
    for row in range(len(ids)):
        real = np.flatnonzero(mask[row])
        types[row, real[len(real) // 2 :]] = rng.integers(0, config.type_vocab_size)
        types[row, real[-1]] = config.type_vocab_size - 1
    return {**batch, "token_type_ids": types}


def masked_labels(rng, batch, config, share=0.3):
    """Labels at about `share` of the real positions, at least one."""
    real = batch["attention_mask"] == 1
    chosen = real & (rng.random(real.shape) < share)
    chosen[0, np.flatnonzero(real[0])[0]] = True
    labels = np.where(chosen, rng.integers(0, config.vocab_size, real.shape), IGNORED)
    return {**batch, "labels": labels.astype(np.int64)}


def causal_labels(rng, batch, dropped=0.15):
    """The ids themselves, but the first of a row (what would predict it is padding or another row)
    and a few more."""
    mask = batch["attention_mask"]
    labels = np.where(mask == 1, batch["input_ids"], IGNORED)
    labels[np.arange(len(mask)), mask.argmax(1)] = IGNORED
    labels[rng.random(labels.shape) < dropped] = IGNORED
    return {**batch, "labels": labels.astype(np.int64)}


def token_labels(rng, batch, classes):
    """One class a real position, a few of them not counted."""
    mask = batch["attention_mask"]
    labels = np.where(mask == 1, rng.integers(0, classes, mask.shape), IGNORED)
    labels[rng.random(labels.shape) < 0.15] = IGNORED
    return {**batch, "labels": labels.astype(np.int64)}


def with_target(rng, batch, config, lengths, left=(), first_id=0):
    """Adds decoder_input_ids and decoder_attention_mask."""
    target = padded(rng, config, lengths, left, first_id=first_id)
    return {**batch, **{f"decoder_{name}": t for name, t in target.items()}}


def target_labels(rng, config, lengths):
    """Labels of a sequence to sequence model: not shifted, -100 behind the end and at a few places
    more."""
    labels = np.full((len(lengths), max(lengths)), IGNORED, np.int64)
    for row, length in enumerate(lengths):
        labels[row, :length] = rng.integers(1, config.vocab_size, length)
    labels[:, 1:][rng.random(labels[:, 1:].shape) < 0.1] = IGNORED
    return labels


def chain_steps(rng, config, steps, rows, width, left=False):
    """input_ids and attention_mask [steps,B,T] of a noisy arithmetic progression modulo the
    vocabulary, something a tiny model can begin to learn; lengths differ, one row a step is full.
    With `left` every other row pads left."""
    vocab = config.vocab_size
    ids = np.zeros((steps, rows, width), np.int64)
    mask = np.zeros_like(ids)
    for step in range(steps):
        for row in range(rows):
            length = width if row == step % rows else int(rng.integers(2, width + 1))
            noise = (rng.random(length) < 0.1) * rng.integers(0, vocab, length)
            chain = 3 + (rng.integers(vocab) + 5 * np.arange(length) + noise) % (vocab - 3)
            real = slice(width - length, width) if left and row % 2 else slice(0, length)
            ids[step, row, real] = chain
            mask[step, row, real] = 1
    return {"input_ids": ids, "attention_mask": mask}


def causal_steps(rows, width, left=False):
    def make(rng, config, steps):
        batch = chain_steps(rng, config, steps, rows, width, left)
        labels = [
            causal_labels(rng, {k: v[s] for k, v in batch.items()}, dropped=0.05)["labels"]
            for s in range(steps)
        ]
        return {**batch, "labels": np.stack(labels)}

    return make


def masked_steps(rows, width, mask_id):
    """As a masked language model sees it: 30 % of the positions hold mask_id and are to be
    predicted."""

    def make(rng, config, steps):
        batch = chain_steps(rng, config, steps, rows, width)
        chosen = (batch["attention_mask"] == 1) & (rng.random(batch["input_ids"].shape) < 0.3)
        chosen[:, 0, 0] = True
        labels = np.where(chosen, batch["input_ids"], IGNORED).astype(np.int64)
        batch["input_ids"][chosen] = mask_id
        return {**batch, "labels": labels}

    return make


def seq2seq_steps(rows, width, target_width):
    """A chain to be read, and its first tokens in reverse to be written."""

    def make(rng, config, steps):
        batch = chain_steps(rng, config, steps, rows, width)
        labels = np.full((steps, rows, target_width), IGNORED, np.int64)
        for step, row in np.ndindex(steps, rows):
            real = int(batch["attention_mask"][step, row].sum())
            length = min(real, target_width if row == 0 else int(rng.integers(1, target_width + 1)))
            labels[step, row, :length] = batch["input_ids"][step, row, :length][::-1]
        return {**batch, "labels": labels}

    return make
