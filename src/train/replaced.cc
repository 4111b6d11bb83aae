#include "train/replaced.h"

#include <algorithm>
#include <cmath>

#include "ops/losses.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

// What the discriminator sees, and which of its tokens are not the original ones.
struct Replaced {
  TrainPart part;  // labels 0 and 1
  int64_t count = 0;
};

// One draw from softmax(logits).
int32_t draw(std::span<const float> logits, double u) {
  const double largest = *std::ranges::max_element(logits);
  double total = 0;
  for (const float v : logits) total += std::exp(v - largest);
  u *= total;
  for (size_t id = 0; id + 1 < logits.size(); ++id)
    if ((u -= std::exp(logits[id] - largest)) < 0) return static_cast<int32_t>(id);
  return static_cast<int32_t>(logits.size()) - 1;
}

// `hidden` is the generator's; no tape sees what happens to it here.
Replaced replace(Ctx c, const Model& generator, const Tensor& hidden, const TrainPart& from,
                 const RngKey& key, int64_t first_sequence) {
  c.tape = nullptr;
  Replaced out;
  out.part.batch = from.batch;
  Ints& ids = out.part.batch.main.ids;
  out.part.labels.assign(ids.size(), 0);
  Ints rows;
  for (size_t t = 0; t < from.labels.size(); ++t)
    if (from.labels[t] >= 0) rows.push_back(static_cast<int32_t>(t));
  if (rows.empty()) return out;
  const Tensor logits =
      generator.head<LmHeadLayer>()->logits(c, gather(c, hidden, Tensor::from(c, rows)));
  const auto vocab = static_cast<size_t>(logits.extent(1));
  size_t sequence = 0;
  const Ints& start = from.batch.main.start;
  for (size_t r = 0; r < rows.size(); ++r) {
    while (start[sequence + 1] <= rows[r]) ++sequence;
    const RngKey own = key.at(static_cast<uint64_t>(first_sequence) + sequence);
    const auto t = static_cast<size_t>(rows[r]);
    ids[t] = draw({logits.data<float>() + r * vocab, vocab},
                  own.uniform(static_cast<uint64_t>(rows[r] - start[sequence])));
    out.part.labels[t] = ids[t] != from.labels[t];
    out.count += out.part.labels[t];
  }
  return out;
}

// The summed loss of the discriminator over all tokens.
LossSum detection_loss(Ctx& c, const Model& discriminator, const TrainPart& part) {
  const auto* head = discriminator.head<ReplacedHeadLayer>();
  check(head, "[replaced] the discriminator has no head that detects replaced tokens");
  const Tensor hidden = discriminator.forward(c, part.batch);
  const Tensor logits = (*head)(c, part.batch, hidden);
  const std::vector<float> right(part.labels.begin(), part.labels.end());
  const Tensor losses = binary_cross_entropy_with_logits(
      c, logits, Tensor::from<float>(c, right, {static_cast<int64_t>(right.size())}));
  return {sum_all(c, losses), static_cast<int64_t>(right.size())};
}

void check_finite(const StepResult& result, const char* which) {
  check(std::isfinite(result.loss) && std::isfinite(result.grad_norm), "[train] the loss of the ",
        which, " is ", result.loss, " and the norm of its gradients ", result.grad_norm,
        ": lower optimizer.lr, lengthen schedule.warmup, or set optimizer.max_grad_norm");
}

}  // namespace

Checkpoint make_discriminator(Json config) {
  Checkpoint checkpoint = empty_checkpoint(std::move(config));
  ModelSpec spec = checkpoint.model->spec();
  spec.embed.base = true;
  checkpoint.model = std::make_unique<Model>(std::move(spec));
  return checkpoint;
}

void share_embedding(const Model& generator, Model& discriminator) {
  for (const char* table : {"embed.tokens", "embed.positions"}) {
    const std::string base = cat(table, ".base");
    Parameter* to = discriminator.params().find(base);
    if (!to) continue;
    const Parameter* from = generator.params().find(table);
    check(from && from->shape == to->shape, "[replaced] generator and discriminator differ in ",
          table);
    // The same memory under another handle: a tape that knows the generator's finds nothing here.
    to->value = from->value.view(from->value.shape(), from->value.strides());
  }
}

Checkpoint merged(Ctx& c, const Checkpoint& discriminator) {
  Checkpoint out = empty_checkpoint(discriminator.config);
  out.prefixed = discriminator.prefixed;
  for (Parameter& p : out.model->params().all()) {
    const ParamStore& from = std::as_const(*discriminator.model).params();
    const Parameter* base = from.find(p.name + ".base");
    p.value = from.find(p.name)->value;
    if (base) p.value = add(c, base->value, p.value);
  }
  return out;
}

ReplacedResult replaced_step(Ctx& c, const ReplacedStep& step, std::span<const TrainPart> parts,
                             double lr, const RngKey& key) {
  ReplacedResult out;
  int64_t tokens = 0;
  for (const TrainPart& part : parts) {
    for (const int32_t label : part.labels) out.generator.counted += label >= 0;
    tokens += part.batch.main.tokens();
  }
  check(out.generator.counted > 0, "[train] none of the step's tokens has a label");
  const double share = 1.0 / static_cast<double>(out.generator.counted);
  std::vector<Replaced> replaced;
  step.of_generator.params().zero_grads();
  int64_t sequence = 0;
  for (const TrainPart& part : parts) {
    Tape tape(c.pool);
    Ctx recording = c;
    recording.tape = &tape;
    step.of_generator.params().watch(tape);
    const Tensor hidden = step.generator.forward(recording, part.batch);
    replaced.push_back(replace(c, step.generator, hidden, part, key, sequence));
    sequence += part.batch.main.sequences();
    out.replaced += replaced.back().count;
    const LossSum loss = language_loss(recording, step.generator, hidden, part.labels);
    if (loss.count == 0) continue;
    out.generator.loss += loss.sum.item() * share;
    tape.backward(c, loss.sum, Tensor::scalar(c, share));
  }
  out.generator.grad_norm = step.of_generator.grad_norm(c);
  check_finite(out.generator, "generator");
  step.of_generator.step(c, lr, out.generator.grad_norm);

  out.discriminator.counted = tokens;
  step.of_discriminator.params().zero_grads();
  for (const Replaced& each : replaced) {
    Tape tape(c.pool);
    Ctx recording = c;
    recording.tape = &tape;
    step.of_discriminator.params().watch(tape);
    const LossSum loss = detection_loss(recording, step.discriminator, each.part);
    out.discriminator.loss += loss.sum.item() / static_cast<double>(tokens);
    tape.backward(c, loss.sum, Tensor::scalar(c, step.weight / static_cast<double>(tokens)));
  }
  out.discriminator.grad_norm = step.of_discriminator.grad_norm(c);
  check_finite(out.discriminator, "discriminator");
  step.of_discriminator.step(c, lr, out.discriminator.grad_norm);
  return out;
}

ReplacedLoss evaluate_replaced(Ctx& c, const Model& generator, const Model& discriminator,
                               const TrainPart& part, const RngKey& key) {
  const Tensor hidden = generator.forward(c, part.batch);
  ReplacedLoss out;
  out.generator = language_loss(c, generator, hidden, part.labels);
  out.discriminator =
      detection_loss(c, discriminator, replace(c, generator, hidden, part, key, 0).part);
  return out;
}

}  // namespace stemma
