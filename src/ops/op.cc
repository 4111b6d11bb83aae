#include "ops/op.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_set>
namespace stemma {
namespace {

// Filled before main(), one op after the other.
std::vector<const AnyOp*>& registry() {
  static std::vector<const AnyOp*> ops;
  return ops;
}

template <class Names>
std::string listed(const Names& names) {
  std::string list;
  for (const auto& name : names) list += cat(list.empty() ? "" : ", ", name);
  return list;
}

constexpr std::string_view kBackward = "/backward";

int kernel_index(const AnyOp& op, Phase phase, std::string_view kernel) {
  const auto& names = op.kernels(phase);
  const auto at = std::find(names.begin(), names.end(), kernel);
  return at == names.end() ? -1 : static_cast<int>(at - names.begin());
}

[[noreturn]] void unknown_kernel(const AnyOp& op, std::string_view kernel) {
  fail(Code::kUsage, "[op] ", op.name(), " has no kernel \"", kernel, "\"; it has ",
       listed(op.kernels(Phase::forward)), " and, backwards, ",
       listed(op.kernels(Phase::backward)));
}

}  // namespace

AnyOp::AnyOp(const char* name, std::vector<OpCase> (*cases)(), OpTraits traits)
    : name_(name), cases_(cases), traits_(traits) {
  registry().push_back(this);
}

void AnyOp::add_definition() {
  for (Kernels& k : kernels_) k.names.push_back("define");
}

int AnyOp::pinned(Phase phase) const {
  pin_kernels_from_environment();
  return of(phase).pinned.load(std::memory_order_relaxed);
}

void AnyOp::log_choice(Phase phase, size_t chosen, std::string_view refusals) const {
  static std::mutex mutex;
  static std::unordered_set<std::string> said;
  const std::string line =
      cat(name_, phase == Phase::backward ? kBackward : "", ": ", kernels(phase)[chosen], refusals);
  std::lock_guard lock(mutex);
  if (said.insert(line).second) log_line(LogTopic::dispatch, line);
}

std::vector<const AnyOp*> all_ops() {
  std::vector<const AnyOp*> ops = registry();
  std::sort(ops.begin(), ops.end(),
            [](const AnyOp* a, const AnyOp* b) { return std::string_view(a->name()) < b->name(); });
  return ops;
}

const AnyOp& find_op(std::string_view name) {
  std::vector<std::string_view> known;
  for (const AnyOp* op : all_ops()) {
    if (op->name() == name) return *op;
    known.push_back(op->name());
  }
  fail(Code::kUsage, "[op] there is no op \"", name, "\"; there are ", listed(known));
}

void pin_kernels(std::string_view pins) {
  while (!pins.empty()) {
    const std::string_view pin = pins.substr(0, pins.find(','));
    pins.remove_prefix(std::min(pins.size(), pin.size() + 1));
    const size_t colon = pin.find(':');
    if (colon == pin.npos)
      fail(Code::kUsage, "[op] \"", pin, "\" pins nothing; write op:kernel, as in softmax:define");
    std::string_view name = pin.substr(0, colon);
    const std::string_view kernel = pin.substr(colon + 1);
    const bool backward_only = name.ends_with(kBackward);
    if (backward_only) name.remove_suffix(kBackward.size());
    const AnyOp& op = find_op(name);
    const int forward = backward_only ? -1 : kernel_index(op, Phase::forward, kernel);
    const int backward = kernel_index(op, Phase::backward, kernel);
    if (forward < 0 && backward < 0) unknown_kernel(op, kernel);
    if (forward >= 0) op.of(Phase::forward).pinned = forward;
    if (backward >= 0) op.of(Phase::backward).pinned = backward;
  }
}

void pin_kernels_from_environment() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (const char* pins = std::getenv("STEMMA_KERNEL")) pin_kernels(pins);
  });
}

ScopedKernel::ScopedKernel(const AnyOp& op, Phase phase, std::string_view kernel)
    : pin_(op.of(phase).pinned) {
  pin_kernels_from_environment();
  before_ = pin_;
  const int index = kernel_index(op, phase, kernel);
  if (index < 0) unknown_kernel(op, kernel);
  pin_ = index;
}

ScopedKernel::~ScopedKernel() { pin_ = before_; }

}  // namespace stemma
