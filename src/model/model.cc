#include "model/model.h"

#include <cmath>

#include "autograd/rematerialise.h"
#include "ops/primitives.h"
#include "tensor/recorder.h"

namespace stemma {

Model::Block::Norms Model::declare_norms(ParamStore& store, const std::string& name,
                                         const Sublayer& spec, int64_t width) {
  auto declare = [&](const std::optional<Norm>& norm, const char* place) {
    return norm ? std::optional(NormLayer::declare(store, name + place, *norm, width))
                : std::nullopt;
  };
  return {declare(spec.in, ".norm_in"), declare(spec.out, ".norm_out"),
          declare(spec.after_add, ".norm_after")};
}

Model::Model(ModelSpec spec) : spec_(std::move(spec)) {
  check(spec_.encoder.has_value() != spec_.decoder.has_value(),
        "[model] a spec has one stack: an encoder or a decoder");
  const int64_t width = spec_.embed.width;
  const double std = spec_.init_std;
  const StackSpec& stack = spec_.stack();
  const std::string name = spec_.encoder ? "encoder." : "decoder.";
  // Branch outputs start smaller, so that the residual stream keeps its scale (GPT-2).
  const double out_std =
      std / std::sqrt(2.0 * static_cast<double>(std::max<size_t>(1, stack.blocks.size())));

  embed_ = EmbeddingLayer::declare(params_, "embed", spec_.embed, std);
  for (size_t l = 0; l < stack.blocks.size(); ++l) {
    const BlockSpec& b = stack.blocks[l];
    const std::string at = cat(name, l);
    Block block;
    block.mixer = AttentionLayer::declare(params_, at + ".attn", std::get<Attention>(b.mixer),
                                          width, std, out_std);
    block.mix = declare_norms(params_, at + ".attn", b.mix, width);
    block.ffn = FeedForwardLayer::declare(params_, at + ".ffn", b.ffn, width, std, out_std);
    block.ff = declare_norms(params_, at + ".ffn", b.ff, width);
    blocks_.push_back(std::move(block));
  }
  if (stack.final_norm)
    final_norm_ = NormLayer::declare(params_, name + "final_norm", *stack.final_norm, width);

  for (const HeadSpec& head : spec_.heads)
    heads_.push_back(std::visit(
        [&](const auto& h) -> HeadLayer {
          using H = std::decay_t<decltype(h)>;
          if constexpr (std::is_same_v<H, Pooler>)
            return PoolerLayer::declare(params_, h, width, std);
          else if constexpr (std::is_same_v<H, LmHead>)
            return LmHeadLayer::declare(params_, h, width, spec_.embed.vocab,
                                        spec_.ties.lm_head ? embed_.tokens : nullptr, std);
          else if constexpr (std::is_same_v<H, Classifier>)
            return ClassifierLayer::declare(params_, h, width, std);
          else
            return SpanHeadLayer::declare(params_, width, std);
        },
        head));
}

Residual Model::Block::operator()(Ctx& c, Pass& pass, Residual stream, KvState* state) const {
  // One branch: x = after_add(x + out(branch(in(x)))), the addition left pending for the next norm.
  auto branch = [&](const char* name, const Norms& norms, auto&& compute) {
    const Scope scope(c, name);
    Tensor in;
    if (norms.in) {
      in = norms.in->absorb(c, stream);
    } else {
      stream = {stream.value(c), {}};
      in = stream.x;
    }
    Tensor y = compute(in);
    if (norms.out) y = (*norms.out)(c, y);
    stream.delta = y;
    if (norms.after_add) stream = {norms.after_add->absorb(c, stream), {}};
  };
  branch("attn", mix, [&](const Tensor& x) { return mixer(c, pass, x, state); });
  branch("ffn", ff, [&](const Tensor& x) { return ffn(c, x); });
  return stream;
}

void Model::set_format(Format format) {
  constexpr int64_t kGroup = 32;
  const bool quantised = format == Format::int8 || format == Format::int4;
  for (Weight& weight : params_.weights()) {
    // A mistake in a logit is not smoothed out by anything that follows.
    const bool head = weight.slices().front().name.starts_with("heads.");
    const Format own = quantised && head ? Format::bf16 : format;
    weight.set_layout({own, own == Format::int4 ? kGroup : 0});
  }
  format_ = format;
}

Tensor Model::forward(Ctx& c, const Batch& batch, StateStore* state,
                      std::vector<Tensor>* hidden_states) const {
  check(!batch.main.ids.empty(), "[model] the batch has no tokens");
  check(!state || batch.seqs.size() == static_cast<size_t>(batch.main.sequences()),
        "[model] with state, a batch names the sequence of each of its rows");
  // Shared with the blocks that run again in the backward pass.
  const auto pass = std::allocate_shared<Pass>(std::pmr::polymorphic_allocator<Pass>(c.pool), batch,
                                               adapters_, c.pool);
  Ctx inside = c;  // of the blocks
  inside.num.dtype = kv_dtype();
  if (pass->adapters()) inside.adapters = &pass->adapters();
  PoolVector<LayerState> remembered;  // what each execution sees of the state
  if (state) remembered = state->begin(batch, c.pool);
  Residual stream;
  {
    const Scope scope(c, "embed");
    stream = {embed_(c, *pass), {}};
  }
  // The stream as it stands, kept so that nobody adds the pending part twice.
  auto settled = [&] {
    stream = {stream.value(c), {}};
    return stream.x;
  };

  const char* stack = spec_.encoder ? "encoder." : "decoder.";
  for (size_t l = 0; l < blocks_.size(); ++l) {
    if (hidden_states) hidden_states->push_back(settled());
    const Block& block = blocks_[l];
    const Scope scope(c, stack, l);
    if (c.rematerialise && !state) {
      const auto [x, delta] =
          rematerialised<2>(inside, [&block, pass, stream](Ctx& again) -> std::array<Tensor, 2> {
            const Residual out = block(again, *pass, stream, nullptr);
            return {out.x, out.delta};
          });
      stream = {x, delta};
    } else {
      stream = block(inside, *pass, stream, state ? &std::get<KvState>(remembered[l]) : nullptr);
    }
  }
  const Scope scope(c, stack, "final_norm");
  Tensor hidden = final_norm_ ? final_norm_->absorb(c, stream) : settled();
  if (hidden_states) hidden_states->push_back(hidden);
  if (state) state->advance(batch, remembered);
  return hidden;
}

std::vector<std::pair<std::string, Tensor>> Model::answers(Ctx& c, const Batch& batch,
                                                           const Tensor& hidden) const {
  std::vector<std::pair<std::string, Tensor>> out;
  Tensor pooled;
  for (const HeadLayer& head : heads_) {
    if (auto* pooler = std::get_if<PoolerLayer>(&head)) {
      pooled = (*pooler)(c, batch, hidden);
      out.emplace_back("pooler_output", pooled);
    } else if (auto* lm = std::get_if<LmHeadLayer>(&head)) {
      out.emplace_back(lm->spec.output, lm->logits(c, hidden));
    } else if (auto* classifier = std::get_if<ClassifierLayer>(&head)) {
      out.emplace_back(classifier->spec.output, (*classifier)(c, batch, hidden, pooled));
    } else {
      const Tensor both = std::get<SpanHeadLayer>(head)(c, hidden);  // [T,2]
      const int64_t tokens = both.extent(0);
      out.emplace_back("start_logits", reshape(c, slice(c, both, 1, 0, 1), {tokens}));
      out.emplace_back("end_logits", reshape(c, slice(c, both, 1, 1, 2), {tokens}));
    }
  }
  return out;
}

}  // namespace stemma
