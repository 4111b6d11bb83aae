"""XLNet cases: one stream and two, permutation masks, target mappings, memory, segments, reversed
rows, padding on the left as its tokenizer pads, and generation through memory."""

import numpy as np

import batches
import spelling
from case import Case
from families.bert import classes, each_token, regression
from generation import Generate
from training import Train

BASE = dict(
    vocab_size=67,
    d_model=36,
    n_layer=2,
    n_head=4,
    d_inner=44,
    pad_token_id=5,
)
HEAD = {**BASE, "d_model": 28, "d_inner": 38}
LENGTHS = [11, 2, 6, 8]
ALL_LEFT = (0, 1, 2, 3)
LOSS = ("logits", "loss")


def tokens(lengths, left=ALL_LEFT, segments=3):
    """Rows of tokens, with three segments (A, B and the class token's) or none."""

    def make(rng, config):
        batch = batches.padded(rng, config, lengths, left)
        if not segments:
            return batch
        types = np.full_like(batch["input_ids"], 3)
        for row, mask in enumerate(batch["attention_mask"]):
            real = np.flatnonzero(mask)
            types[row, real] = np.sort(rng.integers(0, segments - 1, len(real)))
            types[row, real[-1]] = segments - 1
        return {**batch, "token_type_ids": types}

    return make


def labelled(lengths, labels, left=ALL_LEFT):
    return lambda rng, config: labels(rng, tokens(lengths, left)(rng, config), config)


def permutation(rng, mask, targets):
    """perm_mask [T,T] and the target positions of a row: `targets` of its real tokens are to be
    predicted in a random order, each seeing the others that come before it."""
    width = len(mask)
    real = np.flatnonzero(mask)
    chosen = np.sort(rng.choice(real, min(targets, len(real) - 1), replace=False))
    order = np.full(width, -1)
    order[real] = rng.permutation(len(real))
    is_target = np.isin(np.arange(width), chosen)
    key = np.where(is_target, order, -1)
    query = np.where(is_target, key, key + 1)
    hidden = (query[:, None] <= key[None, :]) & is_target[None, :]
    return hidden.astype(np.float32), chosen


def permuted(rng, batch, config, targets=3):
    """Adds perm_mask, target_mapping [B,K,T] (rows of zeros where a row has fewer targets) and
    labels [B,K]."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    rows, width = ids.shape
    hidden = np.zeros((rows, width, width), np.float32)
    mapping = np.zeros((rows, targets, width), np.float32)
    labels = np.full((rows, targets), batches.IGNORED, np.int64)
    for row in range(rows):
        hidden[row], chosen = permutation(rng, mask[row], targets)
        # Not in ascending order: a mapping may name its positions in any.
        for k, position in enumerate(rng.permutation(chosen)):
            mapping[row, k, position] = 1
            labels[row, k] = ids[row, position]
    return {**batch, "perm_mask": hidden, "target_mapping": mapping, "labels": labels}


def masked(rng, batch, config):
    return batches.masked_labels(rng, batch, config)


def with_memory(length, make):
    """Adds mems.{i} [M,B,C], as earlier segments left them."""

    def made(rng, config):
        batch = make(rng, config)
        shape = (length, len(batch["input_ids"]), config.d_model)
        memory = {
            f"mems.{i}": rng.standard_normal(shape, np.float32) for i in range(config.n_layer)
        }
        return {**batch, **memory}

    return made


def span(rng, batch, config):
    width = batch["input_ids"].shape[1]
    return {
        **batch,
        "start_positions": np.array([2, 0, 4]),
        "end_positions": np.array([5, width - 1, 4]),
    }


def choices(count):
    """[B,choices,T] inputs, as XLNetForMultipleChoice takes them."""

    def make(rng, config):
        batch = tokens([7, 4, 9, 1, 5, 6], left=range(6))(rng, config)
        batch = {k: v.reshape(-1, count, v.shape[1]) for k, v in batch.items()}
        return {**batch, "labels": rng.integers(0, count, len(batch["input_ids"]))}

    return make


def permuted_steps(rows, width, targets):
    def make(rng, config, steps):
        chain = batches.chain_steps(rng, config, steps, rows, width, left=True)
        made = [
            permuted(rng, {k: v[s] for k, v in chain.items()}, config, targets)
            for s in range(steps)
        ]
        return {name: np.stack([m[name] for m in made]) for name in made[0]}

    return make


CASES = [
    Case(
        "xlnet",
        "base",
        "XLNetModel",
        {**BASE, "n_layer": 3},
        inputs=tokens(LENGTHS),
        outputs=("last_hidden_state", "hidden_states"),
        about="one stream, no prefix in tensor names; head size 9; three segments; padded left",
    ),
    Case(
        "xlnet",
        "base_plain",
        "XLNetModel",
        {**BASE, "ff_activation": "relu", "layer_norm_eps": 1e-3},
        inputs=tokens([9, 1, 6, 4], left=(1, 2), segments=0),
        outputs=("last_hidden_state", "hidden_states"),
        about="no segments; padding on either side; relu",
    ),
    Case(
        "xlnet",
        "minimal_config",
        "XLNetModel",
        {**HEAD, "d_model": 32},
        inputs=tokens([8, 3]),
        outputs=("last_hidden_state",),
        respell=spelling.minimal,
        about="config.json has only what differs from the class's defaults",
    ),
    Case(
        "xlnet",
        "two_streams",
        "XLNetModel",
        BASE,
        inputs=lambda rng, config: {
            k: v
            for k, v in permuted(rng, tokens(LENGTHS)(rng, config), config).items()
            if k != "labels"
        },
        outputs=("last_hidden_state", "hidden_states"),
        about="content and query stream; hidden_states alternate between them",
    ),
    Case(
        "xlnet",
        "permutation_lm",
        "XLNetLMHeadModel",
        HEAD,
        inputs=labelled(LENGTHS, permuted),
        outputs=LOSS,
        grads=True,
        about="permutation language modelling with partial prediction, targets in any order",
    ),
    Case(
        "xlnet",
        "permutation_mask",
        "XLNetLMHeadModel",
        {**HEAD, "tie_word_embeddings": False},
        inputs=lambda rng, config: {
            k: v
            for k, v in masked(
                rng, permuted(rng, tokens(LENGTHS, segments=0)(rng, config), config), config
            ).items()
            if k != "target_mapping"
        },
        outputs=LOSS,
        grads=True,
        about="a permutation mask on the content stream alone; head not tied",
    ),
    Case(
        "xlnet",
        "memory",
        "XLNetLMHeadModel",
        {**HEAD, "mem_len": 6},
        inputs=with_memory(5, labelled([7, 7, 7], permuted)),
        outputs=LOSS + ("mems",),
        grads=True,
        about="two streams over memory, which all see; new memory is cut to its length",
    ),
    Case(
        "xlnet",
        "memory_reused",
        "XLNetModel",
        {**BASE, "mem_len": 8, "reuse_len": 4},
        inputs=with_memory(6, tokens([9, 9])),
        outputs=("last_hidden_state", "mems"),
        about="only the first reuse_len tokens are remembered",
    ),
    Case(
        "xlnet",
        "reversed",
        "XLNetLMHeadModel",
        {**HEAD, "bi_data": True, "clamp_len": 3, "mem_len": None},
        inputs=with_memory(3, labelled([7, 7, 7, 7], permuted)),
        outputs=LOSS + ("mems",),
        grads=True,
        about="bi_data: the second half of the batch runs backwards; distances clamped to 3",
    ),
    Case(
        "xlnet",
        "causal",
        "XLNetLMHeadModel",
        {**HEAD, "attn_type": "uni"},
        inputs=with_memory(4, labelled([7], masked)),
        outputs=LOSS,
        grads=True,
        about="attn_type uni: Transformer-XL (transformers takes one row of it)",
    ),
    Case(
        "xlnet",
        "sequence_classification",
        "XLNetForSequenceClassification",
        {**HEAD, "num_labels": 5},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="the summary reads the last token",
    ),
    Case(
        "xlnet",
        "sequence_regression",
        "XLNetForSequenceClassification",
        {**HEAD, "num_labels": 1, "summary_type": "first", "summary_activation": "gelu"},
        inputs=labelled([7, 7, 7], regression),
        outputs=LOSS,
        grads=True,
        about="the summary reads the first token",
    ),
    Case(
        "xlnet",
        "sequence_unprojected",
        "XLNetForSequenceClassification",
        {**HEAD, "num_labels": 3, "summary_use_proj": False, "summary_activation": ""},
        inputs=labelled(LENGTHS, classes),
        outputs=LOSS,
        grads=True,
        about="no projection in the summary",
    ),
    Case(
        "xlnet",
        "token_classification",
        "XLNetForTokenClassification",
        {**HEAD, "num_labels": 3},
        inputs=labelled(LENGTHS, each_token),
        outputs=LOSS,
        grads=True,
    ),
    Case(
        "xlnet",
        "multiple_choice",
        "XLNetForMultipleChoice",
        HEAD,
        inputs=choices(3),
        outputs=LOSS,
        grads=True,
        about="inputs are [B,choices,T], padded left",
    ),
    Case(
        "xlnet",
        "question_answering",
        "XLNetForQuestionAnsweringSimple",
        HEAD,
        inputs=labelled([10, 10, 10], span),
        outputs=("start_logits", "end_logits", "loss"),
        grads=True,
    ),
    Case(
        "xlnet",
        "generate",
        "XLNetLMHeadModel",
        HEAD,
        generate=Generate(prompt_lengths=(5, 1, 9), max_new_tokens=12),
        about="a dummy token's query predicts the next; two tokens are run again over the memory",
    ),
    Case(
        "xlnet",
        "generate_short_memory",
        "XLNetLMHeadModel",
        {**HEAD, "mem_len": 6},
        generate=Generate(prompt_lengths=(4, 11), max_new_tokens=10, eos=0),
        about="memory shorter than the text",
    ),
    Case(
        "xlnet",
        "train_permutation",
        "XLNetLMHeadModel",
        {**HEAD, "d_model": 24, "d_inner": 32},
        std=0.15,
        train=Train(
            "masked",
            permuted_steps(4, 12, 3),
            {"kind": "linear", "warmup": 6, "total": 24},
            {"lr": 3e-3, "betas": [0.9, 0.98], "eps": 1e-5, "weight_decay": 0.01},
            steps=24,
            accumulation=2,
        ),
        about="permutation language modelling from the query stream",
    ),
]
