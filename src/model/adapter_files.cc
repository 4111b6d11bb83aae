#include "model/adapter_files.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/file.h"
#include "gemm/gemm.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kTensors = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kHalves[] = {".lora_A", ".lora_B"};

// A slice that may have a pair, and the published name of its module.
struct Site {
  const Weight* weight;
  size_t slice;
  std::string own, module;
};

std::string module_of(const Checkpoint& checkpoint, const std::string& own) {
  constexpr std::string_view kWeight = ".weight";
  const auto found = published_of(checkpoint.rules, own + ".weight", checkpoint.prefixed);
  if (!found || found->rearranged() || !found->name.ends_with(kWeight)) return "";
  return found->name.substr(0, found->name.size() - kWeight.size());
}

// The matrices of the blocks.
std::vector<Site> sites_in(const Checkpoint& checkpoint) {
  std::vector<Site> sites;
  for (const Weight& weight : checkpoint.model->params().weights())
    for (size_t s = 0; weight.adaptable() && s < weight.slices().size(); ++s) {
      const std::string& own = weight.slices()[s].name;
      if (own.starts_with("heads.") || own.starts_with("embed.")) continue;
      const std::string module = module_of(checkpoint, own);
      if (!module.empty()) sites.push_back({&weight, s, own, module});
    }
  return sites;
}

bool names(const std::string& target, const std::string& module) {
  return module == target || module.ends_with("." + target);
}

// What peft's configuration may say that changes the arithmetic, and we do not compute.
void check_config(const Json& config, const fs::path& path) {
  const auto refuse = [&](const std::string& what) {
    fail(Code::kUnsupported, "[adapter] ", path.string(), ": ", what, " is not supported");
  };
  if (config.get("peft_type", "") != "LORA")
    refuse("peft_type " + config.get("peft_type", "(none)"));
  for (const char* flag : {"use_dora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out"})
    if (const Json* value = config.find(flag); value && value->is_bool() && value->as_bool())
      refuse(flag);
  for (const char* list : {"modules_to_save", "alpha_pattern", "trainable_token_indices",
                           "layer_replication", "target_parameters"})
    if (const Json* value = config.find(list); value && !value->is_null() && value->size() > 0)
      refuse(list);
  if (const std::string bias = config.get("bias", "none"); bias != "none") refuse("bias " + bias);
}

LoraSpec spec_of(const Json& config) {
  LoraSpec spec;
  spec.rank = config.get("r", 8);
  spec.alpha = config.get("lora_alpha", 8.0);
  const Json* stabilised = config.find("use_rslora");
  spec.rank_stabilised = stabilised && stabilised->is_bool() && stabilised->as_bool();
  if (const Json* targets = config.find("target_modules"); targets && targets->is_array())
    for (const Json& target : targets->items()) spec.targets.push_back(target.as_string());
  return spec;
}

// MODULE and the half of a stored tensor's name; older files lack the prefix or carry the adapter's
// name ("default") before ".weight".
struct Named {
  std::string module;
  size_t half;
};
std::optional<Named> parse(std::string name) {
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  for (size_t half = 0; half < 2; ++half) {
    const size_t at = name.rfind(kHalves[half]);
    if (at == name.npos) continue;
    const std::string rest = name.substr(at + kHalves[half].size());
    if (rest == ".weight" || rest == ".default.weight") return Named{name.substr(0, at), half};
  }
  return std::nullopt;
}

std::string listed(const std::vector<std::string>& names) {
  std::string s;
  constexpr size_t kMost = 6;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) s += cat(i ? ", " : "", names[i]);
  return names.size() > kMost ? cat(s, " and ", names.size() - kMost, " more") : s;
}

}  // namespace

std::string peft_name(const Checkpoint& checkpoint, const Parameter& parameter) {
  const size_t dot = parameter.name.rfind('.');
  return cat(kPrefix, module_of(checkpoint, parameter.name.substr(0, dot)),
             parameter.name.substr(dot), ".weight");
}

std::unique_ptr<Adapter> make_adapter(const Checkpoint& checkpoint, const LoraSpec& spec) {
  auto adapter = std::make_unique<Adapter>(spec);
  const std::vector<Site> sites = sites_in(checkpoint);
  std::set<std::string> unmet(spec.targets.begin(), spec.targets.end());
  std::set<std::string> known;
  for (const Site& place : sites) {
    known.insert(place.module.substr(place.module.rfind('.') + 1));
    bool wanted = spec.targets.empty();
    for (const std::string& target : spec.targets)
      if (names(target, place.module)) wanted = true, unmet.erase(target);
    if (wanted) adapter->add(*place.weight, place.slice, spec.rank);
  }
  if (!unmet.empty())
    fail(Code::kUsage, "[adapter] no matrix of the blocks is called ", *unmet.begin(),
         "; there are ", listed({known.begin(), known.end()}));
  return adapter;
}

std::unique_ptr<Adapter> load_adapter(Ctx& c, const Checkpoint& checkpoint,
                                      const fs::path& directory) {
  if (!fs::exists(directory / kConfig))
    fail(Code::kNotFound, "[adapter] ", directory.string(), " holds no ", kConfig);
  const Json config = Json::parse_file(directory / kConfig);
  check_config(config, directory / kConfig);
  auto adapter = std::make_unique<Adapter>(spec_of(config));

  const auto files = std::make_shared<const TensorFiles>(TensorFiles::open(directory / kTensors));
  std::map<std::string, std::array<const StoredTensor*, 2>> halves;
  std::vector<std::string> unused;
  for (const StoredTensor& tensor : files->tensors()) {
    const auto named = parse(tensor.name);
    const auto found =
        named ? find_published(checkpoint.rules, named->module + ".weight") : std::nullopt;
    if (found && !found->rearranged())
      halves[found->own.front().substr(0, found->own.front().rfind('.'))][named->half] = &tensor;
    else
      unused.push_back(tensor.name);
  }
  for (const Site& place : sites_in(checkpoint)) {
    const auto found = halves.find(place.own);
    if (found == halves.end()) continue;
    const auto [a, b] = found->second;
    const auto rows = place.weight->slices()[place.slice].rows;
    check(a && b && a->shape.size() == 2 && b->shape.size() == 2 && a->shape[0] > 0 &&
              a->shape[1] == place.weight->width() && b->shape[0] == rows &&
              b->shape[1] == a->shape[0],
          "[adapter] ", place.module, " needs lora_A [r, ", place.weight->width(), "] and lora_B [",
          rows, ", r]; ", directory.string(), " holds other shapes, or one only");
    const Adapter::Pair& pair = adapter->add(*place.weight, place.slice, a->shape[0]);
    pair.a->value = to_f32(c, stored_tensor(c, *a, files));
    pair.b->value = to_f32(c, stored_tensor(c, *b, files));
    halves.erase(found);
  }
  for (const auto& [own, pair] : halves)
    for (const StoredTensor* tensor : pair)
      if (tensor) unused.push_back(tensor->name);
  check(unused.empty(), "[adapter] ", directory.string(),
        " holds tensors that have no place in this model: ", listed(unused));
  check(!adapter->pairs().empty(), "[adapter] ", directory.string(), " holds no tensors");
  return adapter;
}

void save_adapter(const fs::path& directory, const Checkpoint& checkpoint, const Adapter& adapter) {
  std::vector<TensorEntry> entries;
  std::set<std::string> modules;
  for (const Parameter& p : adapter.params().all()) {
    modules.insert(module_of(checkpoint, p.name.substr(0, p.name.rfind('.'))));
    entries.push_back(tensor_entry(peft_name(checkpoint, p), DType::f32, {p.shape[0], p.shape[1]},
                                   {reinterpret_cast<const uint8_t*>(p.value.data<float>()),
                                    static_cast<size_t>(p.shape.elements()) * sizeof(float)}));
  }
  write_safetensors(directory / kTensors, entries);

  const LoraSpec& spec = adapter.spec();
  Json targets = Json::array();
  if (spec.targets.empty())
    for (const std::string& module : modules) targets.push_back(module);
  else
    for (const std::string& target : spec.targets) targets.push_back(target);
  const LmHead* head = checkpoint.model->spec().head<LmHead>();
  const bool causal = head && head->predicts == Predicts::next;
  const Json config = Json::object({
      {"alpha_pattern", Json::object()},
      {"base_model_name_or_path", checkpoint.config.get("_name_or_path", "")},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"inference_mode", true},
      {"init_lora_weights", true},
      {"lora_alpha", spec.alpha},
      {"lora_dropout", 0.0},
      {"modules_to_save", nullptr},
      {"peft_type", "LORA"},
      {"r", spec.rank},
      {"rank_pattern", Json::object()},
      {"target_modules", std::move(targets)},
      {"task_type", causal ? Json("CAUSAL_LM") : Json()},
      {"use_dora", false},
      {"use_rslora", spec.rank_stabilised},
  });
  write_file(directory / kConfig, config.dump(2) + "\n");
}

void merge_adapter(Ctx& c, Checkpoint& checkpoint, const Adapter& adapter) {
  ParamStore& params = checkpoint.model->params();
  for (const Adapter::Pair& pair : adapter.pairs()) {
    Parameter* p = params.find(pair.weight->slices()[pair.slice].name + ".weight");
    check(p != nullptr, "[adapter] slice ", pair.weight->slices()[pair.slice].name,
          " is not a parameter of this model");
    const int64_t n = p->shape[0], k = p->shape[1], r = pair.a->shape[0];
    const Tensor scaled = Tensor::empty(c, {n, r}), sum = Tensor::empty(c, p->shape);
    for (int64_t i = 0; i < n * r; ++i)
      scaled.data<float>()[i] = pair.scale * pair.b->value.data<float>()[i];
    to_f32(p->value.bytes(), p->value.dtype(), n * k, sum.data<float>());
    gemm(c, n, k, r, {scaled.data<float>(), r}, {pair.a->value.data<float>(), k},
         {.accumulate = true}, sum.data<float>(), k);
    if (params.values() &&
        p->role == Role::trained)  // its place in the flat buffer stays its place
      std::memcpy(p->value.data<float>(), sum.data<float>(),
                  static_cast<size_t>(n * k) * sizeof(float));
    else
      p->value = sum;
  }
  params.refresh(c);
}

}  // namespace stemma
