#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "ops/adamw.h"

namespace stemma {

Optimizer::Optimizer(Ctx& c, ParamStore& params, const OptimizerSpec& spec)
    : params_(params),
      spec_(spec),
      exp_avg_(Tensor::zeros(c, {params.trained_elements()})),
      exp_avg_sq_(Tensor::zeros(c, {params.trained_elements()})) {
  check(params.grads() && params.values(),
        "[optimizer] the parameters must be flat and have gradients");
}

double Optimizer::grad_norm(Ctx& c) const {
  return std::sqrt(sum_of_squares(c, params_.grads().data<float>(), params_.grads().elements()));
}

void Optimizer::step(Ctx& c, double lr, double grad_norm) {
  constexpr double kClipEps = 1e-6;
  const double limit = spec_.max_grad_norm;
  const double scale = limit > 0 ? std::min(1.0, limit / (grad_norm + kClipEps)) : 1;
  ++steps_;
  float* p = params_.values().data<float>();
  const float* g = params_.grads().data<float>();
  float *m = exp_avg_.data<float>(), *v = exp_avg_sq_.data<float>();
  AdamW update{lr, spec_.betas[0], spec_.betas[1], spec_.eps, 0};
  // [begin, end) are neighbours that are treated alike: they go together.
  int64_t begin = 0, end = 0;
  bool decays = false;
  const auto update_them = [&] {
    update.decay = decays ? spec_.weight_decay : 0;
    adamw_step(*c.team, update, steps_, scale, end - begin, p + begin, g + begin, m + begin,
               v + begin);
    begin = end;
  };
  const auto any = [](const float* x, int64_t n) {
    return std::any_of(x, x + n, [](float value) { return value != 0; });
  };
  for (const Parameter& parameter : params_.all()) {
    if (parameter.role != Role::trained) continue;
    const int64_t n = parameter.shape.elements();
    // What no gradient has reached yet stays as it is.
    const bool matrix = parameter.shape.rank() >= 2 && (any(g + end, n) || any(m + end, n));
    if (decays != matrix) update_them();
    decays = matrix;
    end += parameter.shape.elements();
  }
  update_them();
  params_.refresh(c);
}

}  // namespace stemma
