#include "train/activations.h"

#include <algorithm>

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

// The model with as many executions of blocks.
ModelSpec cut(ModelSpec spec, size_t executions) {
  StackSpec& stack = spec.decoder ? *spec.decoder : *spec.encoder;
  if (stack.schedule.empty())
    stack.blocks.resize(executions);
  else
    stack.schedule.resize(executions);
  spec.embed.vocab = std::min(spec.embed.vocab, kVocab);
  spec.embed.padding_id = -1;
  std::erase_if(spec.heads, [](const HeadSpec& h) { return !std::holds_alternative<LmHead>(h); });
  return spec;
}

// `counted` of the tokens have a label.
Measured measure(Ctx& c, const ModelSpec& spec, Format format, int64_t tokens, int64_t length,
                 int64_t counted) {
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
  for (int64_t left = tokens; left > 0; left -= length)
    batch.main.append(Ints(static_cast<size_t>(std::min(left, length)), 0));
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
  const int64_t tokens = part * recipe.length;
  const auto share = recipe.objective == DataObjective::masked ? recipe.mask_rate : 1.0;
  const auto counted = [&](int64_t n) {
    return std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(n)));
  };
  Ctx own = c;
  own.rematerialise = recipe.rematerialise == Rematerialise::block;
  // Halved, so that sizes fall into the same classes of the pool.
  int64_t few = tokens;
  while (few > 256 || (few > 64 && few % 2 == 0)) few = (few + 1) / 2;
  // From one and from two times as many tokens: what grows with them, and what does not.
  const auto with_blocks = [&](size_t blocks) {
    const ModelSpec model = cut(spec, blocks);
    const auto of = [&](int64_t n) {
      return measure(own, model, recipe.dtype, n, std::min(recipe.length, few), counted(n));
    };
    const Measured one = of(few);
    if (few == tokens) return one;
    const Measured two = of(2 * few);
    const double more = static_cast<double>(tokens) / static_cast<double>(few) - 2;
    return Measured{two.kept + more * (two.kept - one.kept),
                    two.passing + more * (two.passing - one.passing)};
  };
  const size_t blocks = spec.stack().executions();
  Measured all = with_blocks(std::min<size_t>(blocks, 1));
  if (blocks > 1) {
    const Measured two = with_blocks(2);
    all.kept += static_cast<double>(blocks - 1) * (two.kept - all.kept);
    all.passing = two.passing;
  }
  // Logits of the rows that meet the vocabulary at once.
  const int64_t rows = std::min(counted(tokens), linear_cross_entropy_rows(spec.embed.vocab));
  const auto logits = static_cast<double>(Pool::footprint(4 * rows * spec.embed.vocab));
  return static_cast<int64_t>(all.kept + std::max(all.passing, logits));
}

}  // namespace stemma
