#include "model/model.h"

#include "ops/primitives.h"
#include "tensor/recorder.h"

namespace stemma {

Model::Model(ModelSpec spec) : spec_(std::move(spec)) {
  check(spec_.encoder || spec_.decoder, "[model] a spec has an encoder, a decoder, or both");
  if (spec_.characters || spec_.pictures)
    fail(Code::kUnsupported, "[model] ", spec_.characters ? "characters" : "pictures",
         " can be described and not yet computed");
  const int64_t width = spec_.embed.width;
  const double std = spec_.init_std;
  embed_ = EmbeddingLayer::declare(params_, "embed", spec_.embed, std);
  if (spec_.encoder) encoder_ = Stack::declare(params_, "encoder", *spec_.encoder, width, std);
  if (spec_.decoder) decoder_ = Stack::declare(params_, "decoder", *spec_.decoder, width, std);

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
          else if constexpr (std::is_same_v<H, ReplacedHead>)
            return ReplacedHeadLayer::declare(params_, h, width, std);
          else
            return SpanHeadLayer::declare(params_, h, width, std);
        },
        head));
  if (spec_.multi_token)
    multi_token_ = MultiTokenLayer::declare(params_, *spec_.multi_token, width, std);
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

// What only attention can do, and what it cannot do at once.
void Model::check_streams(const Batch& batch, bool with_state) const {
  const Memory& memory = batch.memory;
  const Stream& main = batch.main;
  const bool remembers = !memory.layers.empty();
  if (!remembers && main.targets.empty() && !main.seen) return;
  const StackSpec& stack = spec_.stack();
  for (const BlockSpec& block : stack.blocks)
    if (!std::holds_alternative<Attention>(block.mixer) || (remembers && block.mix.in))
      fail(Code::kUnsupported, "[model] ", remembers ? "memory goes" : "a second stream goes",
           " through blocks of attention alone", remembers ? ", without a norm before it" : "");
  check(main.targets.empty() ||
            (!main.target_start.empty() && main.target_start.size() == main.start.size() &&
             main.target_start.back() == static_cast<int>(main.targets.size())),
        "[batch] ", main.targets.size(), " targets with ", main.target_start.size(),
        " offsets; there must be one more than the ", main.sequences(), " sequences");
  check(!main.seen || static_cast<int>(main.seen->sequences->size()) == main.sequences(),
        "[batch] what ", main.seen ? main.seen->sequences->size() : 0, " sequences see of ",
        main.sequences());
  check(!remembers || (!with_state && memory.layers.size() == stack.executions() &&
                       memory.start.size() == main.start.size()),
        "[batch] memory of ", memory.layers.size(), " layers and ", memory.start.size(),
        " offsets; there must be ", stack.executions(), " and ", main.start.size(),
        ", and no state");
  for (const Tensor& layer : memory.layers)
    check(layer.shape() == Shape{memory.start.back(), spec_.embed.width}, "[batch] memory is ",
          layer.shape().to_string(), "; it must be [", memory.start.back(), ",", spec_.embed.width,
          "]");
}

Tensor Model::forward(Ctx& c, const Batch& batch, StateStore* state,
                      HiddenStates* hidden_states) const {
  check(!batch.main.ids.empty(), "[model] the batch has no tokens");
  const int sequences = batch.main.sequences();
  check(!state || batch.seqs.size() == static_cast<size_t>(sequences),
        "[model] with state, a batch names the sequence of each of its rows");
  check(!batch.source || (encoder_ && decoder_),
        "[model] the batch has a source and the model no encoder to read it");
  check(!batch.source || batch.source->sequences() == sequences, "[model] a batch of ", sequences,
        " sequences has sources for ", batch.source ? batch.source->sequences() : 0);
  check_streams(batch, state != nullptr);
  PoolVector<LayerState> remembered;  // what the executions see of the state
  if (state) remembered = state->begin(batch, c.pool);

  const auto run = [&](const Stack& stack, const Stream& stream, Source source, LayerState* states,
                       std::vector<Tensor>* seen) {
    // Shared with the blocks that run again in the backward pass.
    const auto pass =
        std::allocate_shared<Pass>(std::pmr::polymorphic_allocator<Pass>(c.pool), batch, stream,
                                   adapters_, c.pool, std::move(source));
    Tensor x;
    {
      const Scope scope(c, "embed");
      x = embed_(c, *pass);
    }
    if (&stream == &batch.main && !batch.memory.layers.empty()) {
      for (const Tensor& layer : batch.memory.layers)
        pass->memory().push_back(MemoryState{layer, &batch.memory.start});
      states = pass->memory().data();
    }
    Ctx inside = c;
    inside.num.dtype = kv_dtype();
    Tensor y = stack(inside, pass, x, states, seen);
    if (stream.targets.empty()) return y;
    // Both streams of each state, and the targets' result.
    if (seen) {
      std::vector<Tensor> both;
      for (const Tensor& rows : *seen) {
        both.push_back(slice(c, rows, 0, 0, stream.tokens()));
        both.push_back(slice(c, rows, 0, stream.tokens(), stream.rows()));
      }
      *seen = std::move(both);
    }
    return slice(c, y, 0, stream.tokens(), stream.rows());
  };

  Tensor hidden;
  Source source;
  if (encoder_) {
    const Stream* reads = decoder_ ? (batch.source ? &*batch.source : nullptr) : &batch.main;
    if (reads && !reads->ids.empty())
      hidden = run(*encoder_, *reads, {}, decoder_ || !state ? nullptr : remembered.data(),
                   hidden_states ? &hidden_states->encoder : nullptr);
  }
  if (encoder_ && decoder_) {
    check(state || hidden, "[model] the batch has no source for the encoder to read");
    source = {std::move(hidden),
              PoolVector<int32_t>(static_cast<size_t>(sequences) + 1, 0, c.pool)};
    if (batch.source) source.start.assign(batch.source->start.begin(), batch.source->start.end());
  }
  if (decoder_)
    hidden = run(*decoder_, batch.main, std::move(source), state ? remembered.data() : nullptr,
                 hidden_states ? &hidden_states->decoder : nullptr);
  if (state) state->advance(batch, remembered);
  return hidden;
}

std::vector<MultiTokenLayer::Further> Model::further(Ctx& c, const Batch& batch,
                                                     const Tensor& hidden) const {
  if (!multi_token_) return {};
  Ctx inside = c;
  inside.num.dtype = kv_dtype();
  return (*multi_token_)(inside, batch, hidden, embed_);
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
      int depth = 0;
      for (const MultiTokenLayer::Further& more : further(c, batch, hidden))
        out.emplace_back(cat("mtp_logits.", depth++),
                         scatter_add(c, lm->logits(c, more.hidden), Tensor::from(c, more.rows),
                                     hidden.extent(0)));
    } else if (auto* classifier = std::get_if<ClassifierLayer>(&head)) {
      out.emplace_back(classifier->spec.output, (*classifier)(c, batch, hidden, pooled));
    } else if (auto* replaced = std::get_if<ReplacedHeadLayer>(&head)) {
      out.emplace_back("logits", (*replaced)(c, batch, hidden));
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
