#include "model/stack.h"

#include <cmath>

#include "autograd/rematerialise.h"
#include "tensor/recorder.h"

namespace stemma {

Stack::Norms Stack::declare_norms(const Place& place, const Sublayer& spec) {
  auto declare = [&](const std::optional<Norm>& norm, const char* end) {
    return norm ? std::optional(
                      NormLayer::declare(place.store, place.name + end, *norm, place.width))
                : std::nullopt;
  };
  return {declare(spec.in, ".norm_in"), declare(spec.out, ".norm_out"),
          declare(spec.after_add, ".norm_after")};
}

Stack Stack::declare(ParamStore& store, const std::string& name, const StackSpec& spec,
                     int64_t width, double std) {
  // Branch outputs start smaller, so that the residual stream keeps its scale (GPT-2).
  const double out_std =
      std / std::sqrt(2.0 * static_cast<double>(std::max<size_t>(1, spec.executions())));
  Stack stack;
  stack.name_ = name;
  stack.listed_ = spec.listed;
  for (size_t l = 0; l < spec.blocks.size(); ++l) {
    const BlockSpec& b = spec.blocks[l];
    const auto place = [&](const char* part) {
      return Place{store, cat(name, ".", l, part), name + ".", width, std, out_std};
    };
    Block block;
    block.mixer = stemma::declare(place(".attn"), b.mixer);
    block.mix = declare_norms(place(".attn"), b.mix);
    std::vector<StateSpec> states;
    add_state(b.mixer, DType::f32, states);
    block.mixer_states = states.size();
    if (b.cross) {
      block.cross = declare_cross(place(".cross"), *b.cross);
      block.x = declare_norms(place(".cross"), b.x);
      add_cross_state(*b.cross, DType::f32, states);
    }
    block.states = states.size();
    block.ffn = stemma::declare(place(".ffn"), b.ffn);
    block.ff = declare_norms(place(".ffn"), b.ff);
    if (b.beside) block.beside = stemma::declare(place(".beside"), *b.beside);
    stack.blocks_.push_back(std::move(block));
  }
  for (size_t e = 0; e < spec.executions(); ++e) {
    check(spec.block_of(e) < spec.blocks.size(), "[model] execution ", e, " runs block ",
          spec.block_of(e), " of ", spec.blocks.size());
    stack.schedule_.push_back(spec.block_of(e));
  }
  if (spec.final_norm)
    stack.final_norm_ = NormLayer::declare(store, name + ".final_norm", *spec.final_norm, width);
  return stack;
}

Residual Stack::Block::operator()(Ctx& c, Pass& pass, Residual stream, LayerState* states) const {
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
  const Tensor given = beside ? stream.value(c) : Tensor();
  branch("attn", mix, [&](const Tensor& y) { return apply(c, pass, mixer, y, states); });
  if (cross)
    branch("cross", x, [&](const Tensor& y) {
      return (*cross)(c, pass, y, states ? states + mixer_states : nullptr);
    });
  std::visit(
      [&]<class Layer>(const Layer& layer) {
        if constexpr (!std::is_same_v<Layer, std::monostate>)
          branch("ffn", ff, [&](const Tensor& y) { return layer(c, y); });
      },
      ffn);
  if (beside) {
    const Scope scope(c, "beside");
    stream = {(*beside)(c, pass, given, stream.value(c)), {}};
  }
  return stream;
}

Tensor Stack::operator()(Ctx& c, const std::shared_ptr<Pass>& pass, const Tensor& x,
                         LayerState* states, std::vector<Tensor>* hidden_states) const {
  Ctx inside = c;  // of the blocks
  if (pass->adapters()) inside.adapters = &pass->adapters();
  Residual stream{x, {}};
  // The stream as it stands, kept so that nobody adds the pending part twice.
  auto settled = [&] {
    stream = {stream.value(c), {}};
    return stream.x;
  };
  const std::string prefix = name_ + ".";
  for (size_t e = 0; e < schedule_.size(); ++e) {
    if (hidden_states && listed_ == Listed::inputs) hidden_states->push_back(settled());
    const Block& block = blocks_[schedule_[e]];
    const Scope scope(c, prefix, e);
    // Memory, which the pass keeps, may be read again; what is written may not.
    if (c.rematerialise && (!states || std::holds_alternative<MemoryState>(*states))) {
      const auto [value, delta] = rematerialised<2>(
          inside, [&block, pass, stream, states](Ctx& again) -> std::array<Tensor, 2> {
            const Residual out = block(again, *pass, stream, states);
            return {out.x, out.delta};
          });
      stream = {value, delta};
    } else {
      stream = block(inside, *pass, stream, states);
    }
    if (states) states += block.states;
    if (hidden_states && listed_ == Listed::outputs) hidden_states->push_back(settled());
  }
  const Scope scope(c, prefix, "final_norm");
  const Tensor hidden = final_norm_ ? final_norm_->absorb(c, stream) : settled();
  if (hidden_states) hidden_states->push_back(hidden);
  return hidden;
}

}  // namespace stemma
