#include "train/activations.h"

#include <algorithm>
#include <cmath>

#include "autograd/tape.h"
#include "ops/cross_entropy.h"
#include "train/objectives.h"

namespace stemma {
namespace {

constexpr int kVocab = 64;  // of the small model: the head's logits are reckoned

struct Measured {
  double kept = 0;     // by the forward pass
  double passing = 0;  // at most, beside it, in the backward pass
};

// As many executions of each stack's blocks.
struct Executions {
  size_t encoder = 0, decoder = 0;
};

// The model with no more of them.
ModelSpec cut(ModelSpec spec, Executions kept) {
  const auto shorten = [](std::optional<StackSpec>& stack, size_t executions) {
    if (!stack) return;
    if (stack->schedule.empty())
      stack->blocks.resize(executions);
    else
      stack->schedule.resize(executions);
  };
  shorten(spec.encoder, kept.encoder);
  shorten(spec.decoder, kept.decoder);
  spec.embed.vocab = std::min(spec.embed.vocab, kVocab);
  spec.embed.padding_id = -1;
  std::erase_if(spec.heads, [](const HeadSpec& h) { return !std::holds_alternative<LmHead>(h); });
  return spec;
}

// `counted` of the tokens have a label; a sequence has `source` times as many in its source.
Measured measure(Ctx& c, const ModelSpec& spec, Format format, int64_t tokens, int64_t length,
                 double source, int64_t counted) {
  Pool pool;
  Ctx own = c;
  own.pool = &pool;
  Model model(spec);
  model.set_format(format);
  // Every parameter lies on the same zeros, every gradient on the same scratch.
  int64_t largest = 0;
  for (const Parameter& p : model.params().all()) largest = std::max(largest, p.shape.elements());
  const Tensor zeros = Tensor::zeros(own, {largest}), scratch = Tensor::zeros(own, {largest});
  for (Parameter& p : model.params().all()) {
    p.value = zeros.view(p.shape, p.shape.strides());
    p.grad = scratch.view(p.shape, p.shape.strides());
  }
  Batch batch;
  for (int64_t left = tokens; left > 0; left -= length) {
    const auto own_length = static_cast<size_t>(std::min(left, length));
    batch.main.append(Ints(own_length, 0));
    if (!spec.reads_source()) continue;
    if (!batch.source) batch.source.emplace();
    batch.source->append(
        Ints(static_cast<size_t>(std::ceil(source * static_cast<double>(own_length))), 0));
  }
  Ints labels(static_cast<size_t>(tokens), -100);
  std::fill_n(labels.begin(), counted, 0);

  Measured measured;
  for (const bool warm : {false, true}) {  // the first time, weights are packed
    const auto before = static_cast<double>(pool.bytes_in_use());
    pool.reset_peak();
    Tape tape(own.pool);
    own.tape = &tape;
    model.params().watch(tape);
    const LossSum loss = training_loss(own, model, batch, model.forward(own, batch), labels);
    own.tape = nullptr;
    measured.kept = static_cast<double>(pool.bytes_in_use()) - before;
    tape.backward(own, loss.sum);
    if (warm) measured.passing = static_cast<double>(pool.peak_bytes()) - before - measured.kept;
  }
  return measured;
}

}  // namespace

int64_t activation_bytes(Ctx& c, const ModelSpec& spec, const Recipe& recipe) {
  const int64_t part = (recipe.batch + recipe.accumulation - 1) / recipe.accumulation;
  const int64_t length = recipe.target(), tokens = part * length;
  const double source = static_cast<double>(recipe.length) / static_cast<double>(length);
  const double share = recipe.labelled();
  const auto counted = [&](int64_t n) {
    return std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(n)));
  };
  Ctx own = c;
  own.rematerialise = recipe.rematerialise == Rematerialise::block;
  // Halved, so that sizes fall into the same classes of the pool.
  int64_t few = tokens;
  while (few > 256 || (few > 64 && few % 2 == 0)) few = (few + 1) / 2;
  // From one and from two times as many tokens: what grows with them, and what does not.
  const auto with_blocks = [&](Executions kept) {
    const ModelSpec model = cut(spec, kept);
    const auto of = [&](int64_t n) {
      return measure(own, model, recipe.dtype, n, std::min(length, few), source, counted(n));
    };
    const Measured one = of(few);
    if (few == tokens) return one;
    const Measured two = of(2 * few);
    const double more = static_cast<double>(tokens) / static_cast<double>(few) - 2;
    return Measured{two.kept + more * (two.kept - one.kept),
                    two.passing + more * (two.passing - one.passing)};
  };
  const auto blocks = [](const std::optional<StackSpec>& stack) {
    return stack ? stack->executions() : 0;
  };
  const Executions whole{blocks(spec.encoder), blocks(spec.decoder)},
      first{std::min<size_t>(whole.encoder, 1), std::min<size_t>(whole.decoder, 1)};
  const Measured one = with_blocks(first);
  Measured all = one;
  // What a second block of a stack adds, each further one adds too.
  const auto add = [&](size_t executions, Executions second) {
    if (executions < 2) return;
    const Measured two = with_blocks(second);
    all.kept += static_cast<double>(executions - 1) * (two.kept - one.kept);
    all.passing = std::max(all.passing, two.passing);
  };
  add(whole.encoder, {2, first.decoder});
  add(whole.decoder, {first.encoder, 2});
  // Logits of the rows that meet the vocabulary at once.
  const int64_t rows = std::min(counted(tokens), linear_cross_entropy_rows(spec.embed.vocab));
  const auto logits = static_cast<double>(Pool::footprint(4 * rows * spec.embed.vocab));
  return static_cast<int64_t>(all.kept + std::max(all.passing, logits));
}

}  // namespace stemma
