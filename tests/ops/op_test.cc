// The one way in which ops run: choice of kernels, pins, the fallback to the definition, what the
// log and the recorder are told.
#include "ops/op.h"

#include "driver.h"
#include "ops/norm.h"
#include "ops/softmax.h"

namespace stemma::ops_test {
namespace {

// y = a b, whose forward kernel is twice as large as its definition, so that one sees which ran.
struct Toy {
  Tensor a, b;
  Tensor y = {};
};

void define(Ctx& c, Toy& p) { p.y = mul(c, p.a, p.b); }
void doubled(Ctx& c, Toy& p, bool) { p.y = mul(c, mul(c, p.a, p.b), 2); }
const char* never(const Toy&) { return "it never does"; }

const stemma::Op<Toy> kToy{{.name = "toy",
                            .operands = {&Toy::a, &Toy::b},
                            .results = {&Toy::y},
                            .define = define,
                            .forward = {{"shy", doubled, never}, {"doubled", doubled}}}};

struct OpDispatch : testing::Test {
  Team team{1};
  Pool pool;
  Ctx c{.team = &team, .pool = &pool};
  Tensor of(std::vector<float> v) {
    return Tensor::from<float>(c, v, {static_cast<int64_t>(v.size())});
  }
};

TEST_F(OpDispatch, TakesTheFirstKernelThatAccepts) {
  const Tensor a = of({3}), b = of({5});
  EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 30);
  c.kernels = false;
  EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 15);
}

TEST_F(OpDispatch, KernelsServeF32UnlessTheySayOtherwise) {
  const Tensor a = Tensor::scalar(c, 3, DType::f64);
  EXPECT_EQ(kToy(c, {.a = a, .b = a}).y.item(), 9);
}

TEST_F(OpDispatch, WithoutABackwardKernelTheDefinitionIsDifferentiated) {
  Tape tape;
  const Tensor a = of({3, 4}), b = of({5, 6});
  tape.watch(a);
  c.tape = &tape;
  const Tensor y = kToy(c, {.a = a, .b = b}).y, z = kToy(c, {.a = y, .b = y}).y;  // y in two places
  c.tape = nullptr;
  EXPECT_EQ(y.item(1), 48);
  tape.backward(c, z, of({1, 1}));
  // dz = y^2 gives 2 y, and dy = a b gives b, both of the definition.
  EXPECT_EQ(tape.grad(a).to_vector<float>(), (std::vector<float>{2 * 30 * 5, 2 * 48 * 6}));
}

TEST_F(OpDispatch, PinsAskForAKernel) {
  const Tensor a = of({3}), b = of({5});
  {
    const ScopedKernel pin(kToy, Phase::forward, "define");
    EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 15);
  }
  EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 30);
  pin_kernels("softmax:define,toy:define,toy/backward:define");
  EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 15);
  pin_kernels("softmax:rows,toy:shy");  // a pinned kernel that refuses leaves the others' order
  EXPECT_EQ(kToy(c, {.a = a, .b = b}).y.item(), 30);
}

TEST_F(OpDispatch, PinsThatNameNothingListWhatThereIs) {
  const auto message = [](const char* pins) -> std::string {
    try {
      pin_kernels(pins);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::kUsage);
      return e.message();
    }
    return "no error";
  };
  EXPECT_NE(message("softmix:define").find("softmax"), std::string::npos);
  EXPECT_NE(message("toy:fast").find("shy, doubled, define"), std::string::npos);
  EXPECT_NE(message("softmax").find("op:kernel"), std::string::npos);
}

TEST_F(OpDispatch, TheLogSaysEachChoiceOnce) {
  std::vector<std::string> lines;
  set_log_sink(LogTopic::dispatch, [&](std::string_view line) { lines.emplace_back(line); });
  const Tensor a = of({3});
  kToy(c, {.a = a, .b = a});
  kToy(c, {.a = a, .b = a});
  set_log_sink(LogTopic::dispatch, {});
  kToy(c, {.a = Tensor::scalar(c, 3, DType::f64), .b = Tensor::scalar(c, 3, DType::f64)});
  EXPECT_EQ(lines, (std::vector<std::string>{"toy: doubled; not shy: it never does"}));
}

struct Ears : Recorder {
  std::vector<std::string> heard;
  void ran(const OpRecord& r) override {
    heard.push_back(cat(place(), "|", r.op, r.phase == Phase::backward ? "/backward" : "", ":",
                        r.kernel, " ", bytes_of(r.inputs), " ", bytes_of(r.outputs)));
  }
};

TEST_F(OpDispatch, TheRecorderHearsEveryOp) {
  Ears ears;
  Tape tape;
  const Tensor x = Tensor::zeros(c, {2, 3});
  tape.watch(x);
  c.rec = &ears;
  c.tape = &tape;
  Tensor y;
  {
    const Scope scope(c, "decoder.", 7);
    const Scope inner(c, "attn");
    y = add_rms_norm(c, x, x, {}, 1e-5).out;
  }
  c.kernels = false;
  softmax(c, x);
  c.kernels = true;
  c.tape = nullptr;
  tape.backward(c, y, x);
  EXPECT_EQ(ears.heard, (std::vector<std::string>{"decoder.7.attn|add_rms_norm:rows 48 48",
                                                  "|softmax:define 24 24",
                                                  "|add_rms_norm/backward:rows 24 48"}));
}

TEST(Ops, HaveNamesOfTheirOwn) {
  const std::vector<const AnyOp*> ops = all_ops();
  for (size_t i = 1; i < ops.size(); ++i) EXPECT_STRNE(ops[i]->name(), ops[i - 1]->name());
}

}  // namespace
}  // namespace stemma::ops_test
