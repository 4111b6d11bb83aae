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
  return Json::parse_file(path, {.infinities = true});
}

Shape shape_of(const StoredTensor& stored) {
  Shape shape;
  for (int64_t extent : stored.shape) shape.push_back(extent);
  return shape;
}

// What the files hold of one parameter: all of a tensor, or a part of it.
struct Held {
  const StoredTensor* tensor;
  Published published;
};
using Stored = std::map<std::string, Held>;  // by our own name

// The scales of a matrix stored in blocks, which lie beside it under its name and this.
constexpr std::string_view kScales = "_scale_inv";

bool is_scales(const TensorFiles& files, std::string_view name) {
  if (!name.ends_with(kScales)) return false;
  const StoredTensor* of = files.find(name.substr(0, name.size() - kScales.size()));
  return of && of->dtype == DType::f8_e4m3;
}

// The rows and columns of a block, from config.json.
BlockScales block_sizes(const Json& config) {
  BlockScales scales;
  const Json* scheme = config.find("quantization_config");
  if (!scheme || scheme->is_null()) return scales;
  const std::string method = scheme->get("quant_method", "");
  if (method != "fp8")
    fail(Code::kUnsupported, "[config.json] quantization_config.quant_method is \"", method,
         "\"; fp8 (blocks with weight_scale_inv) is read");
  if (const Json* size = scheme->find("weight_block_size"); size && !size->is_null()) {
    check(size->is_array() && size->size() == 2,
          "[config.json] weight_block_size must be two numbers, rows and columns");
    scales.rows = size->at(size_t{0}).as_int(), scales.columns = size->at(1).as_int();
  }
  return scales;
}

// What each tensor of the files is to us. Names nobody knows go to `unknown`.
Stored collect(const WeightRules& rules, const TensorFiles& files, bool& prefixed,
               std::vector<std::string>& unknown) {
  Stored stored;
  prefixed = false;
  for (const StoredTensor& tensor : files.tensors()) {
    if (is_ignorable(rules, tensor.name) || is_scales(files, tensor.name)) continue;
    const auto published = find_published(rules, tensor.name);
    if (!published) {
      unknown.push_back(tensor.name);
      continue;
    }
    prefixed = prefixed || tensor.name.starts_with(rules.base_prefix);
    for (const std::string& own : published->own) {
      // Where two published names mean one parameter, the one we would write wins.
      auto [it, fresh] = stored.try_emplace(own, Held{&tensor, *published});
      if (!fresh && published_of(rules, own, prefixed)->name == tensor.name)
        it->second = {&tensor, *published};
    }
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

// What the files decide about a spec: an absent optional pooler goes, and so do absent modules for
// further tokens; a head matrix that differs from the embedding unties them, and one that stands
// alone is the embedding.
void settle(ModelSpec& spec, Stored& stored) {
  std::erase_if(spec.heads, [&](const HeadSpec& head) {
    const auto* pooler = std::get_if<Pooler>(&head);
    return pooler && pooler->optional && !has_any(stored, "heads.pooler");
  });
  if (spec.multi_token && spec.multi_token->optional && !has_any(stored, kMultiToken))
    spec.multi_token.reset();
  auto decoder = stored.find(std::string(kDecoder));
  if (!spec.ties.lm_head || decoder == stored.end() || !spec.head<LmHead>()) return;
  auto tokens = stored.find(std::string(kTokens));
  if (tokens == stored.end())
    stored.emplace(kTokens, decoder->second);
  else if (!same_bytes(*tokens->second.tensor, *decoder->second.tensor))
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

Json without(const Json& object, std::string_view key) {
  Json rest = Json::object();
  for (const auto& [name, value] : object.members())
    if (name != key) rest.set(name, value);
  return rest;
}

Tensor stored_f32(Ctx& c, const StoredTensor& stored) {
  const Tensor t = Tensor::empty(c, shape_of(stored));
  to_f32(reinterpret_cast<const std::byte*>(stored.bytes.data()), stored.dtype, t.elements(),
         t.data<float>());
  return t;
}

Tensor widened(Ctx& c, const Tensor& stored) {
  const Tensor t = Tensor::empty(c, stored.shape());
  to_f32(stored.bytes(), stored.dtype(), t.elements(), t.data<float>());
  return t;
}

DType stored_mostly(const TensorFiles& files) {
  std::map<DType, size_t> bytes;
  for (const StoredTensor& tensor : files.tensors()) bytes[tensor.dtype] += tensor.bytes.size();
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& b) { return b.second; });
  return most == bytes.end() ? DType::f32 : most->first;
}

}  // namespace

Format default_format(DType stored) {
  return (stored == DType::bf16 || stored == DType::f8_e4m3) && isa() >= Isa::kAvx512Bf16 &&
                 isa() != Isa::kAmxEmulated
             ? Format::bf16
             : Format::f32;
}

std::string Checkpoint::published(const Parameter& parameter) const {
  const auto found = published_of(rules, parameter.name, prefixed);
  check(found.has_value(), "[checkpoint] no rule gives the published name of ", parameter.name);
  if (found->own.size() == 1) return found->name;
  const auto part = std::ranges::find(found->own, parameter.name) - found->own.begin();
  return cat(found->name, "[", part, "]");
}

std::vector<PublishedTensor> published_tensors(const Checkpoint& checkpoint) {
  std::vector<PublishedTensor> tensors;
  const ParamStore& params = checkpoint.model->params();
  for (const Parameter& p : params.all()) {
    const auto found = published_of(checkpoint.rules, p.name, checkpoint.prefixed);
    check(found.has_value(), "[checkpoint] no rule gives the published name of ", p.name);
    if (found->own.front() != p.name) continue;  // it comes with the first of its tensor
    PublishedTensor tensor{found->name, p.shape, {}, found->rule->transposed};
    int64_t rows = 0;
    for (const std::string& own : found->own) {
      const Parameter* part = params.find(own);
      check(part, "[checkpoint] ", found->name, " holds ", own, ", which the model does not have");
      tensor.parts.push_back(part);
      rows += part->shape[0];
    }
    tensor.shape[0] = rows;
    if (tensor.transposed && p.shape.rank() == 2) tensor.shape = {p.shape[1], rows};
    tensor.turns = found->rule->turns;
    tensor.stored = found->rule->stored.rank() > 0 ? found->rule->stored : tensor.shape;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

namespace {

// The row of a tensor in which `parts` parameters take turns, of row `row` of one of them.
int64_t row_in_turns(int64_t turns, size_t parts, size_t part, int64_t row) {
  return (row / turns * static_cast<int64_t>(parts) + static_cast<int64_t>(part)) * turns +
         row % turns;
}

}  // namespace

std::vector<float> PublishedTensor::values(Tensor Parameter::*of) const {
  std::vector<float> out(static_cast<size_t>(shape.elements()));
  const bool turned = transposed && shape.rank() == 2;
  int64_t row = 0;
  for (const Parameter* const& part : parts) {
    const Tensor& value = part->*of;
    const int64_t n = value.elements(), rows = part->shape[0],
                  width = n / std::max<int64_t>(1, rows);
    std::vector<float> own(static_cast<size_t>(n));
    to_f32(value.bytes(), value.dtype(), n, own.data());
    const auto part_index = static_cast<size_t>(&part - parts.data());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t r =
          turns > 0 ? row_in_turns(turns, parts.size(), part_index, i / width) : row + i / width;
      const int64_t k = i % width;
      out[static_cast<size_t>(turned ? k * shape[1] + r : r * width + k)] =
          own[static_cast<size_t>(i)];
    }
    row += rows;
  }
  return out;
}

Tensor stored_tensor(Ctx& c, const StoredTensor& stored, std::shared_ptr<const TensorFiles> owner) {
  const Shape shape = shape_of(stored);
  const DType dtype = stored.dtype;
  const bool coded = dtype == DType::f8_e4m3 && shape.rank() == 2;
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::bf16 && dtype != DType::f16 &&
      !coded)
    fail(Code::kUnsupported, "[checkpoint] ", stored.name, " is stored as ", dtype_name(dtype),
         "; weights are read from F32, BF16, F16 and F64, matrices from F8_E4M3 with scales too");
  // The products and tables read the file's own numbers; what is short is worth widening once.
  const auto width = static_cast<uintptr_t>(dtype_bits(dtype) / 8);
  const bool aligned = reinterpret_cast<uintptr_t>(stored.bytes.data()) % width == 0;
  const bool readable = dtype == DType::f32 || (dtype != DType::f64 && shape.rank() >= 2);
  if (readable && aligned && shape.elements() > 0)
    return mapped_tensor(std::move(owner), stored.bytes, shape, dtype);
  return stored_f32(c, stored);
}

namespace {

// The scales of a matrix of codes.
const StoredTensor& scales_of(const TensorFiles& files, const StoredTensor& codes) {
  const StoredTensor* scales = files.find(codes.name + std::string(kScales));
  check(scales, "[checkpoint] ", codes.name, " is stored as F8_E4M3 and there is no ", codes.name,
        kScales);
  return *scales;
}

// The value of one parameter, of which `held` tells where it lies in the files.
Tensor held_value(Ctx& c, const Held& held, const Parameter& p, const ParamStore& params,
                  std::shared_ptr<const TensorFiles> owner) {
  const WeightRule& rule = *held.published.rule;
  const std::vector<std::string>& parts = held.published.own;
  StoredTensor tensor = *held.tensor;
  Shape asked = p.shape;  // of the whole tensor
  int64_t first = 0, rows = 0;
  size_t index = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Parameter* part = params.find(parts[i]);
    if (part == &p) first = rows, index = i;
    rows += part ? part->shape[0] : 0;
  }
  asked[0] = rows;
  const bool turned = rule.transposed && p.shape.rank() == 2;
  if (turned) asked = {p.shape[1], rows};
  const Shape shape = shape_of(tensor), stored = rule.stored.rank() > 0 ? rule.stored : asked;
  check(shape == stored && stored.elements() == asked.elements(), "[checkpoint] ", tensor.name,
        " has shape ", shape.to_string(), ", config.json asks for ", stored.to_string());
  // The same numbers, cut as we cut them.
  tensor.shape.clear();
  for (int d = 0; d < asked.rank(); ++d) tensor.shape.push_back(asked[d]);
  if (!held.published.rearranged()) return stored_tensor(c, tensor, std::move(owner));
  if (tensor.dtype == DType::f8_e4m3)
    fail(Code::kUnsupported, "[checkpoint] ", tensor.name,
         " is stored as F8_E4M3 and holds several parameters");
  if (rule.turns > 0) {
    const Tensor whole = stored_f32(c, tensor), out = Tensor::empty(c, p.shape);
    const int64_t width = p.shape.elements() / p.shape[0];
    for (int64_t r = 0; r < p.shape[0]; ++r)
      std::copy_n(whole.data<float>() + row_in_turns(rule.turns, parts.size(), index, r) * width,
                  width, out.data<float>() + r * width);
    return out;
  }
  if (!turned) {
    StoredTensor part = tensor;
    const size_t row = tensor.bytes.size() / static_cast<size_t>(std::max<int64_t>(1, rows));
    part.shape[0] = p.shape[0];
    part.bytes = tensor.bytes.subspan(static_cast<size_t>(first) * row,
                                      static_cast<size_t>(p.shape[0]) * row);
    return stored_tensor(c, part, std::move(owner));
  }
  const Tensor whole = stored_f32(c, tensor), out = Tensor::empty(c, p.shape);
  const int64_t n = p.shape[0], width = p.shape[1];
  for (int64_t k = 0; k < width; ++k)
    for (int64_t r = 0; r < n; ++r)
      out.data<float>()[r * width + k] = whole.data<float>()[k * rows + first + r];
  return out;
}

}  // namespace

Checkpoint empty_checkpoint(Json config, const LoadOptions& options) {
  if (options.architecture) config.set("architectures", Json::array({Json(*options.architecture)}));
  Resolved resolved = resolve(config);
  if (!options.heads) resolved.spec.heads.clear(), resolved.spec.multi_token.reset();
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
  if (!options.heads) resolved.spec.heads.clear(), resolved.spec.multi_token.reset();
  if (!options.decoder && resolved.spec.reads_source()) resolved.spec.decoder.reset();

  const BlockScales blocks = block_sizes(config);
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
    p.value = held_value(c, it->second, p, model.params(), files);
    if (p.value.dtype() == DType::f8_e4m3) {
      p.scales = blocks;
      p.scales.values = stored_f32(c, scales_of(*files, *it->second.tensor));
      check_scales(p.scales, p.shape[0], p.shape[1], it->second.tensor->name);
    }
    if (p.widened && p.value.dtype() != DType::f32) p.value = widened(c, p.value);
  }
  // Known tensors that this model has no place for: unused heads, a pooler, and the decoder behind
  // an encoder that is loaded alone are let be.
  for (const auto& [name, held] : stored)
    if (!model.params().find(name) && !name.starts_with("heads.") &&
        !(!model.spec().decoder && name.starts_with("decoder.")))
      unknown.push_back(held.tensor->name);
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
  std::vector<TensorEntry> entries;
  bool coded = false;
  for (const PublishedTensor& tensor : published_tensors(checkpoint)) {
    std::vector<int64_t> shape;
    for (int d = 0; d < tensor.stored.rank(); ++d) shape.push_back(tensor.stored[d]);
    if (const Parameter& p = *tensor.parts.front(); p.scales) {  // as it came
      coded = true;
      const Tensor& scales = p.scales.values;
      entries.push_back(
          {tensor.name, p.value.dtype(), std::move(shape),
           [&p](const ByteSink& write) { write(p.value.bytes(), p.value.elements()); }});
      entries.push_back({tensor.name + std::string(kScales),
                         DType::f32,
                         {scales.extent(0), scales.extent(1)},
                         [&scales](const ByteSink& write) { write_f32(scales, write); }});
      continue;
    }
    entries.push_back({tensor.name, DType::f32, std::move(shape), [tensor](const ByteSink& write) {
                         if (!tensor.rearranged())
                           return write_f32(tensor.parts.front()->value, write);
                         const std::vector<float> values = tensor.values(&Parameter::value);
                         write(values.data(), values.size() * sizeof(float));
                       }});
  }
  if (!coded) config = without(config, "quantization_config");
  write_file(directory / "config.json", config.dump(2) + "\n");
  write_model_tensors(directory, entries);
}

}  // namespace stemma
