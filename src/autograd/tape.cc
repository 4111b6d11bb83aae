#include "autograd/tape.h"

#include <utility>

namespace stemma {
namespace {

// sum += g for any strides of g; sum is contiguous.
template <class T>
void add_into(Ctx& c, const Tensor& sum, const Tensor& g) {
  T* out = sum.data<T>();
  const T* in = g.data<T>();
  if (g.contiguous()) {
    c.team->run_range(sum.elements(), 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] += in[i];
    });
    return;
  }
  const std::vector<T> dense = g.to_vector<T>();
  for (size_t i = 0; i < dense.size(); ++i) out[i] += dense[i];
}

void accumulate(Ctx& c, const Tensor& sum, const Tensor& g) {
  if (sum.dtype() == DType::f64)
    add_into<double>(c, sum, g);
  else
    add_into<float>(c, sum, g);
}

}  // namespace

void Grads::add(Ctx& c, const Tensor& input, const Tensor& gradient) {
  auto it = tape_.find(input.id());
  if (it == tape_.end()) return;
  check(gradient.shape() == input.shape() && gradient.dtype() == input.dtype(), "[tape] gradient ",
        gradient.shape().to_string(), " for a tensor ", input.shape().to_string());
  Slot& slot = it->second;
  if (!slot.value) {
    slot.value = gradient;
    return;
  }
  // A first gradient may be a handle that others hold too: only what is ours alone is added to.
  if (!slot.sink && !(slot.value.unique() && slot.value.contiguous())) {
    Tensor own = Tensor::zeros(c, input.shape(), input.dtype());
    accumulate(c, own, slot.value);
    slot.value = own;
  }
  accumulate(c, slot.value, gradient);
}

Tensor Grads::into(Ctx& c, const Tensor& input) {
  auto it = tape_.find(input.id());
  check(it != tape_.end(), "[tape] gradient asked into a tensor that needs none");
  Slot& slot = it->second;
  if (slot.sink) return slot.value;
  if (!slot.value) {
    slot.value = Tensor::zeros(c, input.shape(), input.dtype());
  } else if (!(slot.value.unique() && slot.value.contiguous())) {
    Tensor own = Tensor::zeros(c, input.shape(), input.dtype());
    accumulate(c, own, slot.value);
    slot.value = own;
  }
  return slot.value;
}

void Tape::watch(const Tensor& leaf, const Tensor& sink) {
  check(!sink || (sink.contiguous() && sink.shape() == leaf.shape()),
        "[tape] a sink must be contiguous and have its leaf's shape");
  grads_.tape_[leaf.id()] = {sink, static_cast<bool>(sink)};
}

bool Tape::needs_any(std::initializer_list<Tensor> inputs) const {
  for (const Tensor& t : inputs)
    if (needs(t)) return true;
  return false;
}

void Tape::record(const char* op, std::initializer_list<Tensor> outputs, Backward backward) {
  Node node{op, {}, std::move(backward)};
  for (const Tensor& t : outputs) {
    node.outputs.push_back(t.id());
    grads_.tape_[t.id()];
  }
  nodes_.push_back(std::move(node));
}

void Tape::backward(Ctx& c, const Tensor& loss, const Tensor& seed) {
  check(needs(loss), "[tape] the loss does not depend on any watched tensor");
  check(seed || loss.elements() == 1, "[tape] a loss of shape ", loss.shape().to_string(),
        " needs a seed gradient");
  Ctx quiet = c;
  quiet.tape = nullptr;
  Tensor first = seed;
  if (!first) {
    first = Tensor::scalar(quiet, 1.0, loss.dtype());
    first = first.view(loss.shape(), loss.shape().strides());
  }
  grads_.add(quiet, loss, first);
  first = {};
  std::vector<Tensor> douts;
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    douts.clear();
    bool any = false;
    for (uint64_t id : node.outputs) {
      auto it = grads_.tape_.find(id);
      douts.push_back(std::move(it->second.value));
      any |= static_cast<bool>(douts.back());
      grads_.tape_.erase(it);
    }
    if (any) node.backward(quiet, douts, grads_);
  }
}

Tensor Tape::grad(const Tensor& leaf) const {
  auto it = grads_.tape_.find(leaf.id());
  return it == grads_.tape_.end() ? Tensor() : it->second.value;
}

}  // namespace stemma
