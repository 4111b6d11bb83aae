#include "nn/parameter.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd/tape.h"
#include "tensor/mapped.h"

namespace stemma {

float Init::draw(const RngKey& key, int64_t i) const {
  const auto at = static_cast<uint64_t>(i);
  switch (kind) {
    case Kind::constant:
      break;
    case Kind::normal:
      return static_cast<float>(a * key.normal(at));
    case Kind::uniform:
      return static_cast<float>(a * (2 * key.uniform(at) - 1));
    case Kind::log_counts:
      return static_cast<float>(std::log(1 + static_cast<double>(i % static_cast<int64_t>(a))));
    case Kind::time_steps: {
      const double step =
          std::max(c, std::exp(std::lerp(std::log(a), std::log(b), key.uniform(at))));
      return static_cast<float>(step + std::log(-std::expm1(-step)));
    }
  }
  return static_cast<float>(a);
}

Parameter& ParamStore::declare(std::string name, Shape shape, Init init, Role role) {
  check(by_name_.count(name) == 0, "[parameter] ", name, " is declared twice");
  Parameter& p = parameters_.emplace_back();
  p.name = std::move(name);
  p.shape = shape;
  p.init = init;
  p.role = role;
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

const Parameter* ParamStore::find(std::string_view name) const {
  return const_cast<ParamStore*>(this)->find(name);
}

int64_t ParamStore::elements() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_)
    if (p.role != Role::buffer) n += p.shape.elements();
  return n;
}

int64_t ParamStore::trained_elements() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_)
    if (p.role == Role::trained) n += p.shape.elements();
  return n;
}

void ParamStore::make_flat(Ctx& c, uint64_t seed, bool with_grads) {
  const Tensor values = Tensor::empty(c, {trained_elements()});
  grads_ = with_grads ? Tensor::zeros(c, {trained_elements()}) : Tensor();
  int64_t offset = 0;
  for (Parameter& p : parameters_) {
    const bool trained = p.role == Role::trained;
    const bool read_only = p.value && is_mapped(p.value);
    if (!trained && p.value && !(p.role == Role::buffer && read_only)) continue;
    const Tensor to =
        trained ? values.view(p.shape, p.shape.strides(), offset) : Tensor::empty(c, p.shape);
    const RngKey key = RngKey(seed).of("init").of(p.name);
    if (p.scales)
      std::memcpy(to.bytes(), widen_blocks(c, p.value, p.scales, 0, p.shape[0]).bytes(),
                  static_cast<size_t>(p.shape.elements()) * sizeof(float));
    else if (p.value)
      to_f32(p.value.bytes(), p.value.dtype(), p.shape.elements(), to.data<float>());
    else
      for (int64_t i = 0; i < p.shape.elements(); ++i) to.data<float>()[i] = p.init.draw(key, i);
    p.value = to;
    p.scales = {};
    p.grad = {};
    if (!trained) continue;
    p.offset = offset;
    if (with_grads) p.grad = grads_.view(p.shape, p.shape.strides(), offset);
    offset += p.shape.elements();
  }
  values_ = values;
  for (Weight& weight : weights_) weight.drop();
}

void ParamStore::zero_grads() {
  std::memset(grads_.bytes(), 0, static_cast<size_t>(grads_.elements()) * sizeof(float));
}

void ParamStore::refresh(Ctx& c) {
  for (Weight& weight : weights_) weight.refresh(c);
}

void ParamStore::watch(Tape& tape) const {
  for (const Parameter& p : parameters_)
    if (p.grad) tape.watch(p.value, p.grad);
}

}  // namespace stemma
