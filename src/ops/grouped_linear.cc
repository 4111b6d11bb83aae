// Backward: the definition's, which is linear()'s for each group.
#include "ops/grouped_linear.h"

#include "ops/op.h"
#include "ops/weight_case.h"

namespace stemma {
namespace {

struct GroupedLinear {
  Tensor x;
  std::span<const Weight* const> weights;  // for the call
  std::vector<const Weight*> kept = {};    // for the tape
  Ints start;
  LinearThen then = {};
  Tensor y = {};

  size_t groups() const { return start.size() - 1; }
  const Weight& weight(size_t g) const { return kept.empty() ? *weights[g] : *kept[g]; }
  int64_t rows(size_t g) const { return start[g + 1] - start[g]; }
};

void define(Ctx& c, GroupedLinear& p) {
  std::vector<Tensor> parts;
  for (size_t g = 0; g < p.groups(); ++g)
    if (p.rows(g) > 0)
      parts.push_back(linear(c, slice(c, p.x, 0, p.start[g], p.start[g + 1]), p.weight(g), p.then));
  const int64_t n = p.weight(0).rows();
  p.y = parts.empty() ? Tensor::zeros(c, {0, p.then.gated ? n / 2 : n}, p.x.dtype())
                      : concat(c, parts, 0);
}

// Of the groups that have rows: [groups,N,K].
std::optional<PackedOperand> weights_read(const GroupedLinear& p) {
  const PackedOperand each = p.weight(0).packed();
  int64_t groups = 0;
  for (size_t g = 0; g < p.groups(); ++g) groups += p.rows(g) > 0;
  return PackedOperand{each.type, {groups, each.shape[0], each.shape[1]}, groups * each.bytes};
}

void forward(Ctx& c, GroupedLinear& p, bool) {
  struct Group {
    Weight::Forward packed;
    int64_t row, rows;
  };
  std::vector<Group> all;
  for (size_t g = 0; g < p.groups(); ++g)
    if (p.rows(g) > 0) all.push_back({p.weight(g).forward(c), p.start[g], p.rows(g)});
  const int64_t n = p.weight(0).rows(), width = p.then.gated ? n / 2 : n, k = p.x.extent(1);
  p.y = Tensor::empty(c, {p.x.extent(0), width});
  const auto run = [&](const Group& group) {
    const Epilogue epilogue{.bias = rows::data_or_null(group.packed.bias),
                            .activation = p.then.activation,
                            .gated = p.then.gated};
    Ctx own = c;
    gemm(own, group.rows, {rows::at(p.x, group.row), p.x.strides()[0]}, group.packed.panels,
         epilogue, p.y.data<float>() + group.row * width, width);
  };
  // Many small products are shared out whole; a large one is cut by gemm() itself.
  constexpr int64_t kLarge = 1 << 22;
  const int64_t each = p.x.extent(0) * n * k / std::max<int64_t>(1, std::ssize(all));
  if (each >= kLarge)
    for (const Group& group : all) run(group);
  else
    c.team->run(std::ssize(all), [&](int64_t i) { run(all[static_cast<size_t>(i)]); });
}

OpCase of(std::string name, LinearThen then, bool timed) {
  const auto small = [](const OpInput& input) { return input.between(-0.3, 0.3); };
  return {
      .name = std::move(name),
      .inputs =
          [small](int64_t rows, int64_t n) {
            return std::vector{small(OpInput::real({rows, n})), small(OpInput::real({n + 1, n})),
                               small(OpInput::real({n + 1, n}))};
          },
      // Two of three groups have rows, the middle one none.
      .run = [then](Ctx& c, const Tensors& in) -> Tensors {
        const auto first = taped_weight(c, {{in[1], {}}}), last = taped_weight(c, {{in[2], {}}});
        const std::vector<const Weight*> weights{first.get(), first.get(), last.get()};
        const auto rows = static_cast<int32_t>(in[0].extent(0));
        const int32_t cut = (rows + 1) / 2;
        return {grouped_linear(c, in[0], weights, {0, cut, cut, rows}, then)};
      },
      .smallest = 1,
      .operations = [](int64_t rows,
                       int64_t n) { return 2.0 * static_cast<double>(rows * n * (n + 1)); },
      .timed = timed};
}

std::vector<OpCase> cases() {
  return {of("groups", {}, true), of("then_silu", {.activation = Activation::silu}, false)};
}

const Op<GroupedLinear> kGroupedLinear{{.name = "grouped_linear",
                                        .operands = {&GroupedLinear::x},
                                        .results = {&GroupedLinear::y},
                                        .reads = rows::apart,
                                        .packed = weights_read,
                                        .needed =
                                            [](const GroupedLinear& p, const Tape& tape) {
                                              for (size_t g = 0; g < p.groups(); ++g)
                                                if (p.rows(g) > 0 && p.weight(g).needed(tape))
                                                  return true;
                                              return false;
                                            },
                                        .define = define,
                                        .forward = {{"gemm", forward}},
                                        .cases = cases}};

}  // namespace

Tensor grouped_linear(Ctx& c, const Tensor& x, std::span<const Weight* const> weights,
                      const Ints& start, const LinearThen& then) {
  check(!weights.empty() && start.size() == weights.size() + 1 && x.rank() == 2 &&
            start.front() == 0 && start.back() == x.extent(0) &&
            std::is_sorted(start.begin(), start.end()),
        "[grouped_linear] offsets of ", std::ssize(start) - 1, " groups for ", weights.size(),
        " weights and x ", x.shape().to_string(), "; they must rise from 0 to its rows");
  for (const Weight* w : weights)
    check(w->width() == x.extent(1) && w->rows() == weights[0]->rows(),
          "[grouped_linear] a weight [", w->rows(), ", ", w->width(), "] among others of [",
          weights[0]->rows(), ", ", x.extent(1), "]");
  GroupedLinear call{.x = x, .weights = weights, .start = start, .then = then};
  if (c.tape) call.kept.assign(weights.begin(), weights.end());
  return kGroupedLinear(c, call).y;
}

}  // namespace stemma
