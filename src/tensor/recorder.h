// Recorder: told of every op that runs under a Ctx: what `stemma inspect --dataflow` and
// `stemma verify --trace` are made of. Where Ctx::rec is null it costs nothing.
// An op that runs as its definition is told of once, as "define", without the primitives inside.
// Views (reshape, permute, slice, broadcast_to) compute nothing and are not told of.
// Thread safety: that of its Ctx.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace stemma {

enum class Phase { forward, backward };

// What an op reads that is no tensor: a packed weight, pages of keys and values.
struct PackedOperand {
  std::string_view type;  // "BF16", "int8"
  Shape shape;            // of what it stands for
  int64_t bytes;
};

// What ran. Undefined tensors stand for operands that were not given.
struct OpRecord {
  const char* op;      // "add_rms_norm"
  const char* kernel;  // "rows"; "define": the op's definition; "primitive"
  Phase phase;
  // Forward: operands, results. Backward: the gradients that arrived, one a result, and the
  // operands, whose shapes their gradients share.
  std::span<const Tensor> inputs, outputs;
  double seconds;                            // by the clock, on all threads
  std::optional<PackedOperand> packed = {};  // forward
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void ran(const OpRecord& record) = 0;

  // Where the model is, "decoder.0.attn"; empty outside of every Scope, and in the backward pass.
  const std::string& place() const { return place_; }

 private:
  friend class Scope;
  std::string place_;
};

// Names the part of a model whose ops follow, for as long as it lives; scopes inside add their name
// after a dot: Scope scope(c, "decoder.", layer);
class Scope {
 public:
  template <class... Parts>
  explicit Scope(Ctx& c, const Parts&... name) : rec_(c.rec) {
    if (!rec_) return;
    length_ = rec_->place_.size();
    rec_->place_ += cat(length_ ? "." : "", name...);
  }
  ~Scope() {
    if (rec_) rec_->place_.resize(length_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Recorder* rec_;
  size_t length_ = 0;
};

// Bytes that an op moves when it touches each of these once.
inline int64_t bytes_of(std::span<const Tensor> tensors) {
  int64_t bytes = 0;
  for (const Tensor& t : tensors)
    if (t) bytes += t.elements() * dtype_bits(t.dtype()) / 8;
  return bytes;
}

}  // namespace stemma
