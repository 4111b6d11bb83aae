// Tape: the record of a forward pass, replayed strictly backwards. It knows no op: a node is what
// went in, what came out, and a function from output gradients to input gradients.
// There is no double backward: rules run without a tape. Nodes are freed as they are replayed, and
// a gradient when its node has consumed it, so a tape serves one backward(). Nodes and gradients'
// slots lie in memory of a std::pmr resource; with a Pool there, a steady step needs none from the
// system. Thread safety: one thread.
#pragma once

#include <initializer_list>
#include <memory_resource>
#include <span>
#include <unordered_map>
#include <utility>

#include "tensor/tensor.h"

namespace stemma {

// Where a backward rule puts the gradients of its inputs.
class Grads {
 public:
  // False where nobody needs the gradient of `input`: the rule skips that work.
  bool wants(const Tensor& input) const { return find(input.id()) != nullptr; }
  // Adds `gradient` (same shape and dtype as `input`) to the gradient of `input`.
  void add(Ctx& c, const Tensor& input, const Tensor& gradient);
  // The contiguous gradient of `input`, zero at first, for rules that accumulate in place.
  Tensor into(Ctx& c, const Tensor& input);

 private:
  struct Slot {
    Tensor value;       // undefined until the first gradient arrives
    bool sink = false;  // value is a caller's buffer: add to it, never replace it
  };
  explicit Grads(std::pmr::memory_resource* memory, Grads* outer = nullptr)
      : outer_(outer), slots_(memory) {}
  const Slot* find(uint64_t id) const;
  Slot* find(uint64_t id) { return const_cast<Slot*>(std::as_const(*this).find(id)); }

  Grads* outer_;  // of the tape that this one lies inside of
  std::pmr::unordered_map<uint64_t, Slot> slots_;
  friend class Tape;
};

class Tape {
 public:
  explicit Tape(std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : arena_(memory), grads_(memory) {}
  // A tape for a stretch of a forward pass whose own tape has the gradients `outer`: what is wanted
  // there is wanted here, and goes there. Without `keep` it only finds out what needs gradients.
  Tape(Grads& outer, bool keep)
      : arena_(outer.slots_.get_allocator().resource()),
        grads_(outer.slots_.get_allocator().resource(), &outer),
        keep_(keep) {}
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Asks for the gradient of a leaf. With a `sink` (contiguous, same shape) the gradient is added
  // to what the sink holds; otherwise grad() gives it.
  void watch(const Tensor& leaf, const Tensor& sink = {});
  // True if a gradient will be wanted for `t`.
  bool needs(const Tensor& t) const { return t && grads_.wants(t); }
  bool needs_any(std::initializer_list<Tensor> inputs) const;
  // True if `t` was watched on, or is an output recorded on, this very tape.
  bool owns(const Tensor& t) const { return t && grads_.slots_.count(t.id()) > 0; }

  // Records one op. Call only where an input needs a gradient; the outputs then need one too.
  // `rule` is called with (Ctx& c, std::span<const Tensor> douts, Grads& grads), where douts[i] is
  // the gradient of output i, undefined where none arrived (zero). An undefined output stands for
  // one without a gradient.
  template <class Rule>
  void record(const char* op, std::span<const Tensor> outputs, Rule rule) {
    for (const Tensor& t : outputs)
      if (t) grads_.slots_[t.id()];
    if (!keep_) return;
    using N = RuleNode<Rule>;
    push(new (arena_.allocate(sizeof(N), alignof(N))) N(std::move(rule)), op, outputs);
  }
  template <class Rule>
  void record(const char* op, std::initializer_list<Tensor> outputs, Rule rule) {
    record(op, std::span<const Tensor>(outputs.begin(), outputs.size()), std::move(rule));
  }

  // Replays from `loss`, whose gradient is `seed` (a scalar loss: 1 by default).
  void backward(Ctx& c, const Tensor& loss, const Tensor& seed = {});
  // Replays from several results with a gradient each; an undefined gradient is zero.
  void backward(Ctx& c, std::span<const Tensor> results, std::span<const Tensor> seeds);
  // The gradient of a watched leaf after backward(); undefined if none arrived.
  Tensor grad(const Tensor& leaf) const;

  Grads& grads() { return grads_; }
  size_t size() const { return size_; }

 private:
  struct Node {
    Node* below = nullptr;
    const char* op = nullptr;
    std::span<uint64_t> outputs;  // 0: none
    virtual ~Node() = default;
    virtual void replay(Ctx& c, std::span<const Tensor> douts, Grads& grads) = 0;
  };
  template <class Rule>
  struct RuleNode final : Node {
    explicit RuleNode(Rule r) : rule(std::move(r)) {}
    void replay(Ctx& c, std::span<const Tensor> douts, Grads& grads) override {
      rule(c, douts, grads);
    }
    Rule rule;
  };
  void push(Node* node, const char* op, std::span<const Tensor> outputs);

  std::pmr::monotonic_buffer_resource arena_;
  Node* last_ = nullptr;
  size_t size_ = 0;
  Grads grads_;
  bool keep_ = true;
};

// True where `c` records and some input needs a gradient: the op then keeps what its rule needs.
inline bool recording(const Ctx& c, std::initializer_list<Tensor> inputs) {
  return c.tape != nullptr && c.tape->needs_any(inputs);
}

}  // namespace stemma
