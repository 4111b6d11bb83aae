#include "run/embed.h"

#include <algorithm>
#include <mutex>

#include "ops/linear.h"
#include "ops/primitives.h"
#include "run/encode.h"
#include "tensor/mapped.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

Json optional_file(const fs::path& path) {
  return fs::exists(path) ? Json::parse_file(path) : Json::object();
}

// "torch.nn.modules.activation.Tanh" -> tanh.
Activation torch_activation(const std::string& path) {
  const std::string name = path.substr(path.rfind('.') + 1);
  if (name == "Identity") return Activation::identity;
  if (name == "Tanh") return Activation::tanh;
  if (name == "ReLU") return Activation::relu;
  if (name == "GELU") return Activation::gelu;
  if (name == "Sigmoid") return Activation::sigmoid;
  if (name == "SiLU") return Activation::silu;
  fail(Code::kUnsupported, "[embed] activation ", path, " of a Dense module is not supported");
}

}  // namespace

Embedder::PoolingModule Embedder::load_pooling(const fs::path& directory) {
  const Json config = Json::parse_file(directory / "config.json");
  struct Row {
    const char *flag, *name;
    Pooling mode;
  };
  // In the order in which flags are concatenated; a list in the newer spelling keeps its own.
  constexpr Row kModes[] = {
      {"pooling_mode_cls_token", "cls", Pooling::cls},
      {"pooling_mode_max_tokens", "max", Pooling::max},
      {"pooling_mode_mean_tokens", "mean", Pooling::mean},
      {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Pooling::mean_sqrt_len},
      {"pooling_mode_weightedmean_tokens", "weightedmean", Pooling::weighted_mean},
      {"pooling_mode_lasttoken", "lasttoken", Pooling::last}};
  PoolingModule module;
  if (const Json* given = config.find("pooling_mode")) {
    const std::vector<Json> names = given->is_array() ? given->items() : std::vector{*given};
    for (const Json& name : names)
      for (const Row& row : kModes)
        if (name.as_string() == row.name) module.modes.push_back(row.mode);
    check(module.modes.size() == names.size(), "[embed] ", (directory / "config.json").string(),
          " asks for a pooling mode that is not known: ", given->dump());
  } else {
    for (const Row& row : kModes)
      if (config.get(row.flag, false)) module.modes.push_back(row.mode);
  }
  check(!module.modes.empty(), "[embed] ", (directory / "config.json").string(),
        " names no pooling mode that is known (cls, max, mean, mean_sqrt_len, weightedmean, "
        "lasttoken)");
  return module;
}

Embedder::DenseModule Embedder::load_dense(Ctx& c, const fs::path& directory) {
  const Json config = Json::parse_file(directory / "config.json");
  const auto files = std::make_shared<const TensorFiles>(TensorFiles::open(directory));
  DenseModule module;
  module.act =
      torch_activation(config.get("activation_function", "torch.nn.modules.activation.Tanh"));
  module.weight = to_f32(c, stored_tensor(c, files->at("linear.weight"), files));
  if (config.get("bias", true)) module.bias = stored_tensor(c, files->at("linear.bias"), files);
  check(module.weight.rank() == 2, "[embed] linear.weight of ", directory.string(),
        " is not a matrix");
  return module;
}

Embedder Embedder::load(Ctx& c, const fs::path& directory, LoadOptions options) {
  const bool listed = fs::exists(directory / "modules.json");
  const Json modules = listed ? Json::parse_file(directory / "modules.json") : Json::array();
  fs::path transformer = directory;
  if (listed && modules.size() > 0) transformer = directory / modules.at(size_t{0}).get("path", "");

  options.heads = options.decoder = false;
  Checkpoint checkpoint = load_checkpoint(c, transformer, options);
  Embedder e(std::move(checkpoint), Tokenizer::load(transformer));
  e.width_ = e.checkpoint_.model->spec().embed.width;

  const Json settings = optional_file(transformer / "sentence_bert_config.json");
  e.lowercase_ = settings.get("do_lower_case", false);
  const int positions = e.checkpoint_.model->spec().max_positions;
  e.max_length_ = std::min(positions, e.tokenizer_.max_length().value_or(positions));
  if (const Json* given = settings.find("max_seq_length"); given && !given->is_null())
    e.max_length_ = std::min(positions, static_cast<int>(given->as_int()));
  const Json prompts = optional_file(directory / "config_sentence_transformers.json");
  if (const std::string name = prompts.get("default_prompt_name", ""); !name.empty())
    e.prompt_ = prompts.at("prompts").at(name).as_string();

  if (!listed) e.modules_.push_back(PoolingModule{{Pooling::mean}});
  for (size_t i = 0; i < modules.size(); ++i) {
    const std::string type = modules.at(i).at("type").as_string();
    const std::string kind = type.substr(type.rfind('.') + 1);
    const fs::path at = directory / modules.at(i).get("path", "");
    if (kind == "Transformer" && i == 0) continue;
    if (kind == "Pooling") {
      PoolingModule pooling = load_pooling(at);
      if (!Json::parse_file(at / "config.json").get("include_prompt", true))
        pooling.prompt_tokens_left_out = e.prompt_tokens();
      e.modules_.push_back(pooling);
      e.width_ *= static_cast<int>(std::get<PoolingModule>(e.modules_.back()).modes.size());
    } else if (kind == "Dense") {
      e.modules_.push_back(load_dense(c, at));
      const Tensor& weight = std::get<DenseModule>(e.modules_.back()).weight;
      check(weight.extent(1) == e.width_, "[embed] Dense of ", at.string(), " takes vectors of ",
            weight.extent(1), ", gets ", e.width_);
      e.width_ = static_cast<int>(weight.extent(0));
    } else if (kind == "Normalize") {
      e.modules_.push_back(NormalizeModule{});
    } else {
      fail(Code::kUnsupported, "[embed] module type ", type, " of ",
           (directory / "modules.json").string(),
           " is not supported; known are Transformer, Pooling, Dense, Normalize");
    }
  }
  return e;
}

// Tokens that the prompt takes at the head of every text, [CLS] included, the closing [SEP] not.
int Embedder::prompt_tokens() const {
  if (prompt_.empty()) return 0;
  const Encoding encoding = tokenizer_.encode(prompt_);
  const bool closed = !encoding.special.empty() && encoding.special.back() != 0;
  return static_cast<int>(encoding.ids.size()) - closed;
}

// The text as the tokenizer gets it; `storage` holds it where it is not the text itself.
std::string_view Embedder::prepared(std::string_view text, std::string& storage) const {
  if (prompt_.empty() && !lowercase_) return text;
  storage = prompt_;
  storage += text;
  if (lowercase_)
    for (char& ch : storage)
      if (ch >= 'A' && ch <= 'Z') ch = static_cast<char>(ch - 'A' + 'a');
  return storage;
}

Tensor Embedder::embed_batch(Ctx& c, const Batch& batch) const {
  Tensor x = checkpoint_.model->forward(c, batch);
  for (const Module& module : modules_) {
    if (const auto* pooling = std::get_if<PoolingModule>(&module)) {
      std::vector<Tensor> parts;
      const Ints skip(static_cast<size_t>(batch.main.sequences()), pooling->prompt_tokens_left_out);
      for (Pooling mode : pooling->modes) parts.push_back(pool(c, x, batch.main.start, mode, skip));
      x = parts.size() == 1 ? parts[0] : concat(c, parts, 1);
    } else if (const auto* dense = std::get_if<DenseModule>(&module)) {
      x = activation(c, linear(c, x, dense->weight, dense->bias), dense->act);
    } else {
      x = normalize(c, x);
    }
  }
  return x;
}

std::vector<float> Embedder::embed(Ctx& c, std::span<const std::string> texts,
                                   const std::function<void(size_t)>& progress) const {
  std::vector<Encoding> encoded(texts.size());
  Ints lengths(texts.size());
  EncodeOptions options;
  options.truncation.max_length = max_length_;
  options.offsets = false;
  c.team->run_range(static_cast<int64_t>(texts.size()), 64, [&](int64_t begin, int64_t end) {
    std::string storage;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      encoded[i] = tokenizer_.encode(prepared(texts[i], storage), options);
      lengths[i] = static_cast<int32_t>(encoded[i].ids.size());
      check(lengths[i] > 0, "[embed] text ", i + 1,
            " has no tokens, and this tokenizer adds none of its own");
    }
  });

  std::vector<float> out(texts.size() * static_cast<size_t>(width_));
  std::mutex mutex;
  size_t done = 0;
  encode(c, lengths, [&](Ctx& own, std::span<const size_t> shard) {
    Batch batch;
    for (size_t i : shard) batch.main.append(encoded[i].ids, encoded[i].type_ids);
    const Tensor rows = embed_batch(own, batch);
    const float* from = rows.data<float>();
    for (size_t i : shard) {
      std::copy_n(from, width_, out.begin() + static_cast<int64_t>(i) * width_);
      from += width_;
    }
    if (progress) {
      std::lock_guard lock(mutex);
      progress(done += shard.size());
    }
  });
  return out;
}

}  // namespace stemma
