// Tape: the record of a forward pass, replayed strictly backwards. It knows no op: a node is what
// went in, what came out, and a function from output gradients to input gradients.
// There is no double backward: rules run without a tape. Nodes are freed as they are replayed, so a
// tape serves one backward(). Thread safety: one thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <unordered_map>
#include <vector>

#include "tensor/tensor.h"

namespace stemma {

// Where a backward rule puts the gradients of its inputs.
class Grads {
 public:
  // False where nobody needs the gradient of `input`: the rule skips that work.
  bool wants(const Tensor& input) const { return tape_.count(input.id()) > 0; }
  // Adds `gradient` (same shape and dtype as `input`) to the gradient of `input`.
  void add(Ctx& c, const Tensor& input, const Tensor& gradient);
  // The contiguous gradient of `input`, zero at first, for rules that accumulate in place.
  Tensor into(Ctx& c, const Tensor& input);

 private:
  struct Slot {
    Tensor value;       // undefined until the first gradient arrives
    bool sink = false;  // value is a caller's buffer: add to it, never replace it
  };
  std::unordered_map<uint64_t, Slot> tape_;
  friend class Tape;
};

// douts[i] is the gradient of output i, undefined where none arrived (zero).
using Backward = std::function<void(Ctx& c, std::span<const Tensor> douts, Grads& grads)>;

class Tape {
 public:
  // Asks for the gradient of a leaf. With a `sink` (contiguous, same shape) the gradient is added
  // to what the sink holds; otherwise grad() gives it.
  void watch(const Tensor& leaf, const Tensor& sink = {});
  // True if a gradient will be wanted for `t`.
  bool needs(const Tensor& t) const { return t && grads_.tape_.count(t.id()) > 0; }
  bool needs_any(std::initializer_list<Tensor> inputs) const;

  // Records one op. Call only where an input needs a gradient; the outputs then need one too.
  void record(const char* op, std::initializer_list<Tensor> outputs, Backward backward);

  // Replays from `loss`, whose gradient is `seed` (a scalar loss: 1 by default).
  void backward(Ctx& c, const Tensor& loss, const Tensor& seed = {});
  // The gradient of a watched leaf after backward(); undefined if none arrived.
  Tensor grad(const Tensor& leaf) const;

  size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    const char* op;
    std::vector<uint64_t> outputs;
    Backward backward;
  };
  std::vector<Node> nodes_;
  Grads grads_;
};

// True where `c` records and some input needs a gradient: the op then keeps what its rule needs.
inline bool recording(const Ctx& c, std::initializer_list<Tensor> inputs) {
  return c.tape != nullptr && c.tape->needs_any(inputs);
}

}  // namespace stemma
