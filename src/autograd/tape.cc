#include "autograd/tape.h"

#include <memory>
#include <vector>

#include "simd/accumulate.h"

namespace stemma {
namespace {

// sum += g for any strides of g; sum is contiguous.
void add_into(Ctx& c, const Tensor& sum, const Tensor& g) {
  if (g.contiguous() && g.dtype() == DType::f32) {
    float* out = sum.data<float>();
    const float* in = g.data<float>();
    c.team->run_range(sum.elements(), 1 << 15, [&](int64_t begin, int64_t end) {
      accumulate(out + begin, in + begin, end - begin);
    });
    return;
  }
  const auto add = [&]<class T>(T* out) {
    const std::vector<T> dense = g.to_vector<T>();
    for (size_t i = 0; i < dense.size(); ++i) out[i] += dense[i];
  };
  if (sum.dtype() == DType::f64)
    add(sum.data<double>());
  else
    add(sum.data<float>());
}

}  // namespace

const Grads::Slot* Grads::find(uint64_t id) const {
  for (const Grads* grads = this; grads != nullptr; grads = grads->outer_)
    if (auto it = grads->slots_.find(id); it != grads->slots_.end()) return &it->second;
  return nullptr;
}

void Grads::add(Ctx& c, const Tensor& input, const Tensor& gradient) {
  Slot* slot = find(input.id());
  if (slot == nullptr) return;
  check(gradient.shape() == input.shape() && gradient.dtype() == input.dtype(), "[tape] gradient ",
        gradient.shape().to_string(), " for a tensor ", input.shape().to_string());
  if (!slot->value)
    slot->value = gradient;
  else
    add_into(c, into(c, input), gradient);
}

Tensor Grads::into(Ctx& c, const Tensor& input) {
  Slot* slot = find(input.id());
  check(slot != nullptr, "[tape] gradient asked into a tensor that needs none");
  // A first gradient may be a handle that others hold too: only what is ours alone is added to.
  if (!slot->sink && !(slot->value && slot->value.unique() && slot->value.contiguous())) {
    Tensor own = Tensor::zeros(c, input.shape(), input.dtype());
    if (slot->value) add_into(c, own, slot->value);
    slot->value = std::move(own);
  }
  return slot->value;
}

Tape::~Tape() {
  while (last_ != nullptr) std::destroy_at(std::exchange(last_, last_->below));
}

void Tape::watch(const Tensor& leaf, const Tensor& sink) {
  check(!sink || (sink.contiguous() && sink.shape() == leaf.shape()),
        "[tape] a sink must be contiguous and have its leaf's shape");
  grads_.slots_[leaf.id()] = {sink, static_cast<bool>(sink)};
}

bool Tape::needs_any(std::initializer_list<Tensor> inputs) const {
  for (const Tensor& t : inputs)
    if (needs(t)) return true;
  return false;
}

void Tape::push(Node* node, const char* op, std::span<const Tensor> outputs) {
  auto* ids =
      static_cast<uint64_t*>(arena_.allocate(outputs.size() * sizeof(uint64_t), alignof(uint64_t)));
  for (size_t i = 0; i < outputs.size(); ++i) ids[i] = outputs[i].id();
  node->op = op;
  node->outputs = {ids, outputs.size()};
  node->below = std::exchange(last_, node);
  ++size_;
}

void Tape::backward(Ctx& c, const Tensor& loss, const Tensor& seed) {
  check(needs(loss), "[tape] the loss does not depend on any watched tensor");
  check(seed || loss.elements() == 1, "[tape] a loss of shape ", loss.shape().to_string(),
        " needs a seed gradient");
  Tensor first = seed;
  if (!first) {
    Ctx quiet = c;
    quiet.tape = nullptr;
    first = Tensor::scalar(quiet, 1.0, loss.dtype());
    first = first.view(loss.shape(), loss.shape().strides());
  }
  backward(c, {&loss, 1}, {&first, 1});
}

void Tape::backward(Ctx& c, std::span<const Tensor> results, std::span<const Tensor> seeds) {
  Ctx quiet = c;
  quiet.tape = nullptr;
  for (size_t i = 0; i < results.size(); ++i)
    if (seeds[i]) grads_.add(quiet, results[i], seeds[i]);
  std::pmr::vector<Tensor> douts(grads_.slots_.get_allocator().resource());
  while (last_ != nullptr) {
    Node* node = std::exchange(last_, last_->below);
    --size_;
    // Its memory is the arena's; what it holds goes with it, however the rule ends.
    const std::unique_ptr<Node, decltype([](Node* n) { std::destroy_at(n); })> owner(node);
    bool any = false;
    for (uint64_t id : node->outputs) {
      if (id == 0) {
        douts.emplace_back();
        continue;
      }
      auto it = grads_.slots_.find(id);
      douts.push_back(std::move(it->second.value));
      any |= static_cast<bool>(douts.back());
      grads_.slots_.erase(it);
    }
    if (any) node->replay(quiet, douts, grads_);
    douts.clear();
  }
}

Tensor Tape::grad(const Tensor& leaf) const {
  const auto it = grads_.slots_.find(leaf.id());
  return it == grads_.slots_.end() ? Tensor() : it->second.value;
}

}  // namespace stemma
