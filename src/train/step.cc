#include "train/step.h"

#include <cmath>

#include "nn/experts.h"
#include "ops/primitives.h"

namespace stemma {

StepResult train_step(Ctx& c, Model& model, std::span<const TrainPart> parts, Optimizer& optimizer,
                      double lr) {
  StepResult result;
  size_t sentences = 0;
  for (const TrainPart& part : parts) {
    for (int32_t label : part.labels) result.counted += label >= 0;
    sentences += part.sentence_labels.size();
  }
  check(result.counted > 0, "[train] none of the step's tokens has a label");
  const double share = 1.0 / static_cast<double>(result.counted);

  // An adapter leaves the model's own corrections alone.
  const bool balances = &optimizer.params() == &model.params();
  ExpertLoads loads;
  optimizer.params().zero_grads();
  for (const TrainPart& part : parts) {
    Tape tape(c.pool);
    Ctx recording = c;
    recording.tape = &tape;
    if (balances) recording.loads = &loads;
    optimizer.params().watch(tape);
    const Tensor hidden = model.forward(recording, part.batch);
    LossSum loss = training_loss(recording, model, part.batch, hidden, part.labels);
    if (loss.count == 0) continue;
    if (!part.sentence_labels.empty()) {
      const Tensor classes =
          sentence_loss(recording, model, part.batch, hidden, part.sentence_labels);
      // Means over different counts, in one sum.
      const double ratio = static_cast<double>(result.counted) / static_cast<double>(sentences);
      loss.sum = add(recording, loss.sum, mul(recording, classes, ratio));
    }
    result.loss += loss.sum.item() * share;
    tape.backward(c, loss.sum, Tensor::scalar(c, share));
  }
  result.grad_norm = optimizer.grad_norm(c);
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    const auto text = [](double x) { return std::isnan(x) ? "not a number" : cat(x); };
    fail(Code::kFailed, "[train] the loss is ", text(result.loss),
         " and the norm of the gradients ", text(result.grad_norm), " in step ",
         optimizer.steps() + 1,
         ": lower optimizer.lr, lengthen schedule.warmup, or set optimizer.max_grad_norm");
  }
  optimizer.step(c, lr, result.grad_norm);
  loads.balance(optimizer.spec().expert_balance);
  return result;
}

LossSum evaluate(Ctx& c, const Model& model, const TrainPart& part) {
  return language_loss(c, model, model.forward(c, part.batch), part.labels);
}

}  // namespace stemma
