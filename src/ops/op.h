// Op: what an op is (its definition, kernels and cases) and the one way in which ops run.
//
// An op's file has a struct for a call of it - operands, attributes, results, and what the forward
// keeps for the backward, each by name - and one Op<Call> that lists its parts; this registers it:
//
//   struct Glu { Tensor gate, up; Activation kind; Tensor y; };
//   void define(Ctx& c, Glu& p) { p.y = mul(c, activation(c, p.gate, p.kind), p.up); }
//   const Op<Glu> kGlu{{.name = "glu", .operands = {&Glu::gate, &Glu::up}, .results = {&Glu::y},
//                       .define = define, .forward = {{"vector", forward}},
//                       .backward = {{"vector", backward}}, .cases = cases}};
//   ... kGlu(c, {.gate = gate, .up = up, .kind = kind}).y ...
//
// A call runs the first forward kernel that accepts it; the definition comes last and accepts all.
// Under a tape the first backward kernel that accepts gives the gradients; where there is none, the
// definition is run again on a tape of its own and differentiated. So kernels may be missing.
// STEMMA_KERNEL=softmax:define,glu:vector asks for a kernel by name before all others, in both
// directions; softmax/backward:define in one. docs/adding-an-op.md walks through an example.
// Thread safety: ops may run on several threads, each with its own Ctx.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <span>
#include <string_view>
#include <vector>

#include "autograd/tape.h"
#include "base/log.h"
#include "ops/case.h"
#include "ops/primitives.h"
#include "ops/rows.h"
#include "tensor/recorder.h"

namespace stemma {

// Computes the results of `p`. Operands are contiguous (but see OpDef::reads). `keep`: a backward
// will follow, and finds in `p` what is stored there now.
template <class P>
struct ForwardKernel {
  const char* name;
  void (*run)(Ctx& c, P& p, bool keep);
  // Why it cannot serve a call, in words ("the head size is odd"), or null. Left out: it serves
  // calls whose real operands are f32.
  const char* (*why_not)(const P& p) = nullptr;
};

// Adds to the gradients of the operands. d[i] is the gradient of result i, contiguous, undefined
// where none arrived; one at least did. g.wants() says which gradients somebody needs.
template <class P>
struct BackwardKernel {
  const char* name;
  void (*run)(Ctx& c, const P& p, std::span<const Tensor> d, Grads& g);
  const char* (*why_not)(const P& p) = nullptr;  // as above
};

struct OpTraits {
  // The bits do not depend on the CPU level. (On threads and on other rows they never depend.)
  bool same_at_every_level = true;
  // Kernels know the levels with dot products and tiles too (available_dot_isas()).
  bool dot_levels = false;
};

template <class P>
struct OpDef {
  const char* name;
  std::vector<Tensor P::*> operands;        // may be left undefined in a call
  std::vector<Tensor P::*> constants = {};  // operands that take no gradient: indices, tables
  std::vector<Tensor P::*> results;
  std::vector<Tensor P::*> kept = {};  // the results that backward kernels read
  // Whether kernels read an operand as it lies; else it is copied first.
  bool (*reads)(const Tensor& x) = [](const Tensor& x) { return x.contiguous(); };
  // What they read besides operands, for those who watch.
  std::optional<PackedOperand> (*packed)(const P& p) = nullptr;
  // Whether anything but the operands (a Weight) needs a gradient.
  bool (*needed)(const P& p, const Tape& tape) = nullptr;
  void (*define)(Ctx& c, P& p);
  std::vector<ForwardKernel<P>> forward = {};    // in order of preference
  std::vector<BackwardKernel<P>> backward = {};  // likewise
  std::vector<OpCase> (*cases)() = nullptr;
  OpTraits traits = {};
};

// What every op has, whatever its calls look like: name, kernels by name, cases.
class AnyOp {
 public:
  const char* name() const { return name_; }
  // Names of the kernels, in order of preference; "define" is the last.
  const std::vector<const char*>& kernels(Phase phase) const { return of(phase).names; }
  std::vector<OpCase> cases() const { return cases_ ? cases_() : std::vector<OpCase>(); }
  const OpTraits& traits() const { return traits_; }

  AnyOp(const AnyOp&) = delete;
  AnyOp& operator=(const AnyOp&) = delete;

 protected:
  AnyOp(const char* name, std::vector<OpCase> (*cases)(), OpTraits traits);  // registers it
  ~AnyOp() = default;
  void add_kernel(Phase phase, const char* kernel) { of(phase).names.push_back(kernel); }
  void add_definition();

  // The index of the kernel that serves a call; why_not(i) is kernel i's refusal or null.
  template <class WhyNot>
  size_t choose(const Ctx& c, Phase phase, WhyNot why_not) const {
    const size_t definition = kernels(phase).size() - 1;
    const int pin = pinned(phase);
    size_t chosen = 0;
    if (!c.kernels)
      chosen = definition;
    else if (pin >= 0 && (static_cast<size_t>(pin) == definition || !why_not(pin)))
      chosen = static_cast<size_t>(pin);
    else
      while (chosen < definition && why_not(chosen)) ++chosen;
    if (logs(LogTopic::dispatch)) log_choice(c, phase, chosen, why_not);
    return chosen;
  }

 private:
  friend class ScopedKernel;
  friend void pin_kernels(std::string_view pins);
  struct Kernels {
    std::vector<const char*> names;
    std::atomic<int> pinned{-1};  // an index into names
  };
  Kernels& of(Phase phase) const { return kernels_[static_cast<size_t>(phase)]; }
  int pinned(Phase phase) const;
  template <class WhyNot>
  void log_choice(const Ctx& c, Phase phase, size_t chosen, WhyNot why_not) const {
    std::string refusals = c.kernels ? "" : "; kernels are switched off";
    for (size_t i = 0; i < chosen && c.kernels; ++i)
      if (const char* why = why_not(i)) refusals += cat("; not ", kernels(phase)[i], ": ", why);
    log_choice(phase, chosen, refusals);
  }
  void log_choice(Phase phase, size_t chosen, std::string_view refusals) const;

  const char* name_;
  std::vector<OpCase> (*cases_)();
  OpTraits traits_;
  mutable std::array<Kernels, 2> kernels_;
};

// All ops of the program, by name.
std::vector<const AnyOp*> all_ops();
// The op called `name`. Errors: there is none (usage), with those that there are.
const AnyOp& find_op(std::string_view name);

// Pins kernels as STEMMA_KERNEL does: "op:kernel,op/backward:kernel". Errors: an op or a kernel
// that does not exist (usage), with those that do.
void pin_kernels(std::string_view pins);
// Reads STEMMA_KERNEL. Done before the first op runs; a program calls it to meet errors at once.
void pin_kernels_from_environment();

// Pins a kernel for as long as it lives: for tests and measurements.
class ScopedKernel {
 public:
  ScopedKernel(const AnyOp& op, Phase phase, std::string_view kernel);
  ~ScopedKernel();
  ScopedKernel(const ScopedKernel&) = delete;
  ScopedKernel& operator=(const ScopedKernel&) = delete;

 private:
  std::atomic<int>& pin_;
  int before_;
};

template <class P>
class Op final : public AnyOp {
 public:
  explicit Op(OpDef<P> def) : AnyOp(def.name, def.cases, def.traits), def_(std::move(def)) {
    for (const auto& kernel : def_.forward) add_kernel(Phase::forward, kernel.name);
    for (const auto& kernel : def_.backward) add_kernel(Phase::backward, kernel.name);
    add_definition();
  }

  // Runs a call: takes its operands and attributes, returns it with its results.
  P operator()(Ctx& c, P p) const {
    const size_t chosen =
        choose(c, Phase::forward, [&](size_t i) { return why_not(def_.forward[i], p); });
    const Stopwatch watch(c);
    Ctx inner = c;
    inner.rec = nullptr;
    if (chosen == def_.forward.size()) {
      hide_constants(p);
      def_.define(inner, p);
    } else {
      make_dense(c, p);
      const bool keep = needs_gradient(c, p);
      inner.tape = nullptr;
      def_.forward[chosen].run(inner, p, keep);
      if (keep) record(*c.tape, p);
    }
    if (c.rec)
      tell(c, Phase::forward, chosen, collect(p, inputs()), collect(p, def_.results), watch,
           def_.packed ? def_.packed(p) : std::nullopt);
    return p;
  }

 private:
  using Members = std::vector<Tensor P::*>;

  // Seconds since it was made, where somebody wants to know.
  class Stopwatch {
   public:
    explicit Stopwatch(const Ctx& c) {
      if (c.rec) start_ = Clock::now();
    }
    double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

   private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_;
  };

  Members inputs() const {
    Members all = def_.operands;
    all.insert(all.end(), def_.constants.begin(), def_.constants.end());
    return all;
  }
  static Tensors collect(const P& p, const Members& members) {
    Tensors all;
    for (Tensor P::*m : members) all.push_back(p.*m);
    return all;
  }
  void tell(const Ctx& c, Phase phase, size_t chosen, const Tensors& in, const Tensors& out,
            const Stopwatch& watch, std::optional<PackedOperand> packed = {}) const {
    const double seconds = watch.seconds();
    c.rec->ran({name(), kernels(phase)[chosen], phase, in, out, seconds, packed});
  }

  template <class Kernel>
  const char* why_not(const Kernel& kernel, const P& p) const {
    if (kernel.why_not) return kernel.why_not(p);
    for (const Members* list : {&def_.operands, &def_.constants})
      for (Tensor P::*m : *list)
        if ((p.*m) && (p.*m).dtype() != DType::f32 && (p.*m).dtype() != DType::i32)
          return "it computes in F32";
    return nullptr;
  }

  bool needs_gradient(const Ctx& c, const P& p) const {
    if (!c.tape) return false;
    for (Tensor P::*m : def_.operands)
      if (c.tape->needs(p.*m)) return true;
    return def_.needed && def_.needed(p, *c.tape);
  }

  // Copies what is not contiguous; the tape of `c` follows the copy.
  void make_dense(Ctx& c, P& p) const {
    for (const Members* list : {&def_.operands, &def_.constants})
      for (Tensor P::*m : *list)
        if ((p.*m) && !def_.reads(p.*m)) p.*m = contiguous(c, p.*m);
  }

  // New handles on the constants, which no tape knows.
  void hide_constants(P& p) const {
    for (Tensor P::*m : def_.constants)
      if (p.*m) p.*m = (p.*m).view((p.*m).shape(), (p.*m).strides());
  }

  void record(Tape& tape, const P& p) const {
    std::array<Tensor, kMostResults> outputs;
    for (size_t i = 0; i < def_.results.size(); ++i) {
      const Tensor& result = p.*def_.results[i];
      bool is_operand = false;  // handed through as it came: its gradient is not this op's
      for (Tensor P::*m : def_.operands) is_operand = is_operand || (p.*m).id() == result.id();
      if (!is_operand) outputs[i] = result;
    }
    P kept = p;
    for (Tensor P::*m : def_.results) kept.*m = {};
    for (Tensor P::*m : def_.kept) kept.*m = p.*m;
    tape.record(name(), std::span(outputs).first(def_.results.size()),
                [this, kept = std::move(kept)](Ctx& c, std::span<const Tensor> d, Grads& g) {
                  backward(c, kept, d, g);
                });
  }

  void backward(Ctx& c, const P& p, std::span<const Tensor> given, Grads& g) const {
    const size_t chosen =
        choose(c, Phase::backward, [&](size_t i) { return why_not(def_.backward[i], p); });
    const Stopwatch watch(c);
    Ctx inner = c;
    inner.rec = nullptr;
    std::array<Tensor, kMostResults> dense;
    const std::span<const Tensor> d(dense.data(), given.size());
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i]) dense[i] = contiguous(inner, given[i]);
    if (chosen == def_.backward.size())
      differentiate(inner, p, d, g);
    else
      def_.backward[chosen].run(inner, p, d, g);
    if (c.rec)
      tell(c, Phase::backward, chosen, {d.begin(), d.end()}, collect(p, def_.operands), watch);
  }

  // The gradient of the definition, run once more on a tape inside of the one that replays.
  void differentiate(Ctx& c, const P& p, std::span<const Tensor> d, Grads& g) const {
    Tape tape(g, true);
    Ctx taped = c;
    taped.tape = &tape;
    P again = p;
    hide_constants(again);
    def_.define(taped, again);
    std::array<Tensor, kMostResults> results, seeds;
    for (size_t i = 0; i < d.size(); ++i) {
      if (!d[i] || !tape.owns(again.*def_.results[i])) continue;
      results[i] = again.*def_.results[i];
      seeds[i] = d[i];
    }
    tape.backward(c, results, seeds);
  }

  static constexpr size_t kMostResults = 4;
  const OpDef<P> def_;
};

}  // namespace stemma
