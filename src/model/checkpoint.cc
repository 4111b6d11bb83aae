#include "model/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "model/adapter_files.h"
#include "simd/isa.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTokens = "embed.tokens", kDecoder = "heads.lm.decoder.weight";

Json read_config(const fs::path& directory) {
  if (!fs::exists(directory))
    fail(Code::kNotFound, "[checkpoint] there is no directory ", directory.string());
  const fs::path path = directory / "config.json";
  if (!fs::exists(path))
    fail(Code::kNotFound, "[checkpoint] ", directory.string(), " has no config.json");
  return Json::parse_file(path);
}

Shape shape_of(const StoredTensor& stored) {
  Shape shape;
  for (int64_t extent : stored.shape) shape.push_back(extent);
  return shape;
}

using Stored = std::map<std::string, const StoredTensor*>;  // by our own name

// What each tensor of the files is to us. Names nobody knows go to `unknown`.
Stored collect(const WeightRules& rules, const TensorFiles& files, bool& prefixed,
               std::vector<std::string>& unknown) {
  Stored stored;
  prefixed = false;
  for (const StoredTensor& tensor : files.tensors()) {
    if (is_ignorable(rules, tensor.name)) continue;
    const auto own = own_name(rules, tensor.name);
    if (!own) {
      unknown.push_back(tensor.name);
      continue;
    }
    prefixed = prefixed || tensor.name.starts_with(rules.base_prefix);
    // Where two published names mean one parameter, the one we would write wins.
    auto [it, fresh] = stored.try_emplace(*own, &tensor);
    if (!fresh && published_name(rules, *own, prefixed) == tensor.name) it->second = &tensor;
  }
  return stored;
}

bool has_any(const Stored& stored, std::string_view prefix) {
  return std::any_of(stored.begin(), stored.end(),
                     [&](const auto& item) { return item.first.starts_with(prefix); });
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
}

// What the files decide about a spec: an absent optional pooler goes; a head matrix that differs
// from the embedding unties them, and one that stands alone is the embedding.
void settle(ModelSpec& spec, Stored& stored) {
  std::erase_if(spec.heads, [&](const HeadSpec& head) {
    const auto* pooler = std::get_if<Pooler>(&head);
    return pooler && pooler->optional && !has_any(stored, "heads.pooler");
  });
  auto decoder = stored.find(std::string(kDecoder));
  if (!spec.ties.lm_head || decoder == stored.end() || !spec.head<LmHead>()) return;
  auto tokens = stored.find(std::string(kTokens));
  if (tokens == stored.end())
    stored[std::string(kTokens)] = decoder->second;
  else if (!same_bytes(*tokens->second, *decoder->second))
    spec.ties.lm_head = false;
}

std::string listed(const std::vector<std::string>& names) {
  std::string s;
  constexpr size_t kMost = 8;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) s += cat(i ? ", " : "", names[i]);
  if (names.size() > kMost) s += cat(" and ", names.size() - kMost, " more");
  return s.empty() ? "none" : s;
}

// Hands a value over as f32, piece by piece where it has to be converted.
void write_f32(const Tensor& value, const ByteSink& write) {
  const int64_t n = value.elements(), width = dtype_bits(value.dtype()) / 8;
  if (value.dtype() == DType::f32) return write(value.bytes(), static_cast<size_t>(n * width));
  constexpr int64_t kPiece = 1 << 20;
  std::vector<float> piece(static_cast<size_t>(std::min(n, kPiece)));
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = std::min(kPiece, n - begin);
    to_f32(value.bytes() + begin * width, value.dtype(), count, piece.data());
    write(piece.data(), static_cast<size_t>(count) * sizeof(float));
  }
}

DType stored_mostly(const TensorFiles& files) {
  std::map<DType, size_t> bytes;
  for (const StoredTensor& tensor : files.tensors()) bytes[tensor.dtype] += tensor.bytes.size();
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& b) { return b.second; });
  return most == bytes.end() ? DType::f32 : most->first;
}

}  // namespace

Format default_format(DType stored) {
  return stored == DType::bf16 && isa() >= Isa::kAvx512Bf16 && isa() != Isa::kAmxEmulated
             ? Format::bf16
             : Format::f32;
}

std::string Checkpoint::published(const Parameter& parameter) const {
  const auto name = published_name(rules, parameter.name, prefixed);
  check(name.has_value(), "[checkpoint] no rule gives the published name of ", parameter.name);
  return *name;
}

Tensor stored_tensor(Ctx& c, const StoredTensor& stored, std::shared_ptr<const TensorFiles> owner) {
  const Shape shape = shape_of(stored);
  const DType dtype = stored.dtype;
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::bf16 && dtype != DType::f16)
    fail(Code::kUnsupported, "[checkpoint] ", stored.name, " is stored as ", dtype_name(dtype),
         "; weights are read from F32, BF16, F16 and F64");
  // The products and tables read the file's own numbers; what is short is worth widening once.
  const auto width = static_cast<uintptr_t>(dtype_bits(dtype) / 8);
  const bool aligned = reinterpret_cast<uintptr_t>(stored.bytes.data()) % width == 0;
  const bool readable = dtype == DType::f32 || (dtype != DType::f64 && shape.rank() >= 2);
  if (readable && aligned && shape.elements() > 0)
    return mapped_tensor(std::move(owner), stored.bytes, shape, dtype);
  const Tensor t = Tensor::empty(c, shape);
  to_f32(reinterpret_cast<const std::byte*>(stored.bytes.data()), dtype, shape.elements(),
         t.data<float>());
  return t;
}

Checkpoint empty_checkpoint(Json config, const LoadOptions& options) {
  if (options.architecture) config.set("architectures", Json::array({Json(*options.architecture)}));
  Resolved resolved = resolve(config);
  if (!options.heads) resolved.spec.heads.clear();
  Checkpoint checkpoint;
  checkpoint.config = std::move(config);
  checkpoint.prefixed = !resolved.rules.bare;
  checkpoint.rules = std::move(resolved.rules);
  checkpoint.model = std::make_unique<Model>(std::move(resolved.spec));
  return checkpoint;
}

Checkpoint load_checkpoint(Ctx& c, const fs::path& directory, const LoadOptions& options) {
  Json config = read_config(directory);
  if (options.architecture) config.set("architectures", Json::array({Json(*options.architecture)}));
  Resolved resolved = resolve(config);
  if (!options.heads) resolved.spec.heads.clear();

  auto files = std::make_shared<const TensorFiles>(TensorFiles::open(directory));
  Checkpoint checkpoint;
  std::vector<std::string> unknown, missing;
  Stored stored = collect(resolved.rules, *files, checkpoint.prefixed, unknown);
  settle(resolved.spec, stored);
  checkpoint.config = std::move(config);
  checkpoint.rules = std::move(resolved.rules);
  checkpoint.model = std::make_unique<Model>(std::move(resolved.spec));

  Model& model = *checkpoint.model;
  for (Parameter& p : model.params().all()) {
    auto it = stored.find(p.name);
    if (it == stored.end()) {
      if (options.architecture && p.name.starts_with("heads."))
        checkpoint.fresh.push_back(p.name);
      else
        missing.push_back(checkpoint.published(p));
      continue;
    }
    const StoredTensor& tensor = *it->second;
    const Shape shape = shape_of(tensor);
    check(shape == p.shape, "[checkpoint] ", tensor.name, " has shape ", shape.to_string(),
          ", config.json asks for ", p.shape.to_string());
    p.value = stored_tensor(c, tensor, files);
  }
  // Known tensors that this model has no place for: unused heads and a pooler are let be.
  for (const auto& [name, tensor] : stored)
    if (!model.params().find(name) && !name.starts_with("heads.")) unknown.push_back(tensor->name);
  check(missing.empty() && unknown.empty(), "[checkpoint] ", directory.string(),
        " does not hold what config.json describes; missing: ", listed(missing),
        "; not part of the model: ", listed(unknown));
  if (!options.adapter.empty())
    model.adapters().push_back(load_adapter(c, checkpoint, options.adapter));
  for (const StoredTensor& tensor : files->tensors()) release_pages(tensor.bytes);
  checkpoint.stored = stored_mostly(*files);
  model.set_format(options.format.value_or(default_format(checkpoint.stored)));
  return checkpoint;
}

void save_checkpoint(const fs::path& directory, const Checkpoint& checkpoint) {
  Json config = checkpoint.config;
  const bool modern = config.has("dtype") || !config.has("torch_dtype");
  config.set(modern ? "dtype" : "torch_dtype", "float32");
  write_file(directory / "config.json", config.dump(2) + "\n");
  std::vector<TensorEntry> entries;
  for (const Parameter& p : checkpoint.model->params().all()) {
    std::vector<int64_t> shape;
    for (int d = 0; d < p.shape.rank(); ++d) shape.push_back(p.shape[d]);
    entries.push_back({checkpoint.published(p), DType::f32, std::move(shape),
                       [&p](const ByteSink& write) { write_f32(p.value, write); }});
  }
  write_model_tensors(directory, entries);
}

}  // namespace stemma
