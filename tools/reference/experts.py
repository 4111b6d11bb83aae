"""Experts as checkpoints name them. transformers keeps a layer's experts stacked,
`experts.gate_up_proj` [E,2I,H] and `experts.down_proj` [E,H,I]; files have a tensor each,
`experts.{e}.gate_proj.weight` [I,H] and so on."""

GATE_UP, DOWN = ".experts.gate_up_proj", ".experts.down_proj"


def unstacked(tensors):
    """{name in memory: array} with stacked experts taken apart."""
    out = {}
    for name, t in tensors.items():
        place = name.rsplit(".", 1)[0]
        if name.endswith(GATE_UP):
            half = t.shape[1] // 2
            for e, both in enumerate(t):
                out[f"{place}.{e}.gate_proj.weight"] = both[:half]
                out[f"{place}.{e}.up_proj.weight"] = both[half:]
        elif name.endswith(DOWN):
            for e, down in enumerate(t):
                out[f"{place}.{e}.down_proj.weight"] = down
        else:
            out[name] = t
    return out
