#include "nn/parameter.h"

#include <cstring>

#include "autograd/tape.h"

namespace stemma {

float Init::draw(const RngKey& key, int64_t i) const {
  const auto at = static_cast<uint64_t>(i);
  if (std > 0) return static_cast<float>(std * key.normal(at));
  if (bound > 0) return static_cast<float>(bound * (2 * key.uniform(at) - 1));
  return static_cast<float>(value);
}

Parameter& ParamStore::declare(std::string name, Shape shape, Init init) {
  check(by_name_.count(name) == 0, "[parameter] ", name, " is declared twice");
  Parameter& p = parameters_.emplace_back();
  p.name = std::move(name);
  p.shape = shape;
  p.init = init;
  p.offset = elements_;
  elements_ += shape.elements();
  by_name_[p.name] = &p;
  return p;
}

Weight& ParamStore::declare_weight(int64_t width, std::vector<Weight::Slice> slices) {
  return weights_.emplace_back(width, std::move(slices));
}

Parameter* ParamStore::find(std::string_view name) {
  auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : it->second;
}

void ParamStore::make_flat(Ctx& c, uint64_t seed, bool with_grads) {
  values_ = Tensor::empty(c, {elements_});
  if (with_grads) grads_ = Tensor::zeros(c, {elements_});
  float* flat = values_.data<float>();
  for (Parameter& p : parameters_) {
    const int64_t n = p.shape.elements();
    float* to = flat + p.offset;
    if (p.value) {
      std::memcpy(to, p.value.data<float>(), static_cast<size_t>(n) * sizeof(float));
    } else {
      const RngKey key = RngKey(seed).of("init").of(p.name);
      for (int64_t i = 0; i < n; ++i) to[i] = p.init.draw(key, i);
    }
    p.value = values_.view(p.shape, p.shape.strides(), p.offset);
    if (with_grads) p.grad = grads_.view(p.shape, p.shape.strides(), p.offset);
  }
  for (Weight& weight : weights_) weight.drop();
}

void ParamStore::zero_grads() {
  std::memset(grads_.bytes(), 0, static_cast<size_t>(elements_) * sizeof(float));
}

void ParamStore::refresh(Ctx& c) {
  for (Weight& weight : weights_) weight.refresh(c);
}

void ParamStore::watch(Tape& tape) const {
  for (const Parameter& p : parameters_) tape.watch(p.value, p.grad);
}

}  // namespace stemma
