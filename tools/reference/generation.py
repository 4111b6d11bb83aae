"""Generated ids: greedy and beam search as transformers does them, one prompt at a time.

Ids are recorded only if they are far from a tie: f64 and a model whose weights are disturbed by
1e-5 must give the same ones.
"""

import copy
import dataclasses
import json

import torch
import transformers

from precision import DoubleEverywhere, double_model


@dataclasses.dataclass
class Generate:
    prompt_lengths: tuple
    max_new_tokens: int
    num_beams: int = 1  # above 1: beam rows too
    eos: int = 1  # how many eos ids to choose; 0: none, "eos_token_id" null
    decoy_eos: bool = False  # config.json names another eos, which generation_config.json overrides
    length_penalty: float = 1.0
    prompts: list = dataclasses.field(default_factory=list)


def new_ids(model, prompt, spec, num_beams):
    """The ids after the prompt, up to and with the first eos."""
    ids = torch.tensor([prompt])
    both = model.config.is_encoder_decoder
    with torch.no_grad():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            num_beams=num_beams,
            max_new_tokens=spec.max_new_tokens,
            use_cache=not both,  # transformers gives T5's decoder as many caches as the encoder has
        )[0, 1 if both else len(prompt) :].tolist()
    eos = model.generation_config.eos_token_id
    eos = [] if eos is None else [eos] if isinstance(eos, int) else eos
    ends = [i for i, token in enumerate(out) if token in eos]
    return out[: ends[0] + 1] if ends else out


def choose_eos(model, spec, rng):
    """Draws the prompts and takes for eos ids that this model does say in the middle of some
    rows."""
    vocab = model.config.vocab_size
    spec.prompts = [rng.integers(3, vocab, n).tolist() for n in spec.prompt_lengths]
    pad = model.config.pad_token_id or 0
    beam = (
        {}
        if spec.length_penalty == 1
        else {"num_beams": spec.num_beams, "length_penalty": spec.length_penalty}
    )
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=1,
        pad_token_id=pad,
        eos_token_id=None,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        **beam,
    )
    rows = [new_ids(model, prompt, spec, 1) for prompt in spec.prompts]
    middle = [token for row in rows for token in row[2:-2] if token not in row[:2]]
    chosen = []
    for token in middle:
        if len(chosen) < spec.eos and token not in chosen and any(token not in row for row in rows):
            chosen.append(token)
    if len(chosen) < spec.eos:
        raise RuntimeError(
            "no token is fit to be eos; give the case another name, which is its seed"
        )
    eos = None if not chosen else chosen[0] if len(chosen) == 1 else chosen
    model.generation_config.eos_token_id = eos
    model.config.eos_token_id = rows[0][0] if spec.decoy_eos else eos


def disturbed(model):
    twin = copy.deepcopy(model)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(1 + 1e-5 * torch.randn(p.shape, generator=rng))
    return twin


def write(folder, model, spec):
    with DoubleEverywhere():
        exact = double_model(model)
    shaken = disturbed(model)
    result = {"prompts": spec.prompts, "max_new_tokens": spec.max_new_tokens}
    for key, beams in [("greedy", 1)] + ([("beam", spec.num_beams)] if spec.num_beams > 1 else []):
        rows = [new_ids(model, prompt, spec, beams) for prompt in spec.prompts]
        with DoubleEverywhere():
            exact_rows = [new_ids(exact, prompt, spec, beams) for prompt in spec.prompts]
        shaken_rows = [new_ids(shaken, prompt, spec, beams) for prompt in spec.prompts]
        if not rows == exact_rows == shaken_rows:
            raise RuntimeError(
                f"{folder}: {key} ids hang on rounding; take other prompts "
                "(for a case of the tables: another name, which is its seed)"
            )
        result[key] = rows
        if beams > 1:
            result["num_beams"] = beams
    (folder / "generate.json").write_text(json.dumps(result) + "\n")
