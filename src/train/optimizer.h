// Optimizer: AdamW over a model's flat parameters: decoupled decay where a parameter has two or
// more dimensions and some gradient has reached it, bias correction, eps outside the root, in the
// order of operations of torch.optim.AdamW (Loshchilov and Hutter 2019). Clipping is by the norm
// over all gradients, as torch.nn.utils.clip_grad_norm_: factor min(1, limit / (norm + 1e-6)). The
// moments are flat f32 buffers in the order of the parameters.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "nn/parameter.h"

namespace stemma {

enum class OptimizerKind { adamw };
constexpr std::array<std::pair<std::string_view, OptimizerKind>, 1> kOptimizerNames = {
    {{"adamw", OptimizerKind::adamw}}};

struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::adamw;
  double lr = 0;  // the peak; 0 in a recipe: 1e-3 from scratch, 5e-5 from a checkpoint
  std::array<double, 2> betas = {0.9, 0.95};
  double eps = 1e-8, weight_decay = 0.1;
  double max_grad_norm = 1;  // 0: no clipping
  // How far each step moves the corrections of routers towards equal loads (nn/experts.h); no
  // gradient does. Source: DeepSeek-AI 2024 (DeepSeek-V3), 4.2.
  double expert_balance = 0.001;
  template <class Self, class V>
  static void visit_fields(Self& s, V&& v) {
    v("kind", s.kind);
    v("lr", s.lr);
    v("betas", s.betas);
    v("eps", s.eps);
    v("weight_decay", s.weight_decay);
    v("max_grad_norm", s.max_grad_norm);
    v("expert_balance", s.expert_balance);
  }
};

class Optimizer {
 public:
  // `params` is flat, with gradients, and outlives the optimiser.
  Optimizer(Ctx& c, ParamStore& params, const OptimizerSpec& spec);

  // The norm over all gradients as they stand, before any clipping.
  double grad_norm(Ctx& c) const;
  // One update at learning rate `lr`, with gradients clipped as the spec says, given their norm.
  void step(Ctx& c, double lr, double grad_norm);

  ParamStore& params() const { return params_; }  // what it changes
  const OptimizerSpec& spec() const { return spec_; }
  int64_t steps() const { return steps_; }
  // [elements], for checkpoints; restored() says that they were filled from one.
  const Tensor& exp_avg() const { return exp_avg_; }
  const Tensor& exp_avg_sq() const { return exp_avg_sq_; }
  void restored(int64_t steps) { steps_ = steps; }

 private:
  ParamStore& params_;
  OptimizerSpec spec_;
  Tensor exp_avg_, exp_avg_sq_;
  int64_t steps_ = 0;
};

}  // namespace stemma
