#include "train/setup.h"

#include <algorithm>
#include <charconv>

#include "model/adapter_files.h"
#include "text/trainer.h"
#include "train/replaced.h"
#include "train/run_files.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

template <class... Args>
[[noreturn]] void usage(const Args&... args) {
  fail(Code::kUsage, args...);
}

bool is_masked(const Recipe& recipe) {
  return recipe.objective == DataObjective::masked || recipe.objective == DataObjective::replaced;
}
// Whether sequences are marked by CLS and SEP.
bool is_bracketed(const Recipe& recipe) {
  return is_masked(recipe) || recipe.objective == DataObjective::permutation;
}

// "bpe:SIZE" with its size; 0 for anything else.
int bpe_size(const std::string& tokenizer) {
  constexpr std::string_view kBpe = "bpe:";
  if (!tokenizer.starts_with(kBpe)) return 0;
  int size = 0;
  const char* end = tokenizer.data() + tokenizer.size();
  const auto [stop, error] = std::from_chars(tokenizer.data() + kBpe.size(), end, size);
  if (error != std::errc() || stop != end || size < 1)
    usage("[recipe] tokenizer \"", tokenizer, "\" has no size; write bpe:4096, say");
  return size;
}

// A vocabulary made of the data itself, of a sample where there is much.
Tokenizer trained_tokenizer(const Recipe& recipe, int size) {
  constexpr size_t kSampleBytes = size_t{64} << 20;
  std::vector<std::string> texts;
  size_t bytes = 0;
  const std::vector<fs::path> files = find_data_files(recipe.data);
  read_documents(files, [&](Document&& document) {
    if (bytes >= kSampleBytes) return;
    bytes += document.text.size();
    texts.push_back(std::move(document.text));
  });
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  TokenizerTraining training;
  training.special_tokens = {"<|endoftext|>"};
  training.vocab_size = size;
  if (is_bracketed(recipe))
    for (const char* token : {"[PAD]", "[CLS]", "[SEP]", "[MASK]"})
      training.special_tokens.push_back(token);
  if (recipe.objective == DataObjective::span_corruption) {
    const int64_t tokens = lengths_for(recipe.length, recipe.spans()).tokens;
    const int64_t spans = std::max(noise_of(tokens, recipe.spans()).spans,
                                   noise_of(lengths_for(recipe.length, {}).tokens, {}).spans);
    for (int64_t i = 0; i < spans; ++i)
      training.special_tokens.push_back(cat("<extra_id_", i, ">"));
  }
  Team team;
  return train_tokenizer(views, training, team);
}

Tokenizer tokenizer_for(const Recipe& recipe) {
  if (recipe.tokenizer.empty() && !from_scratch(recipe)) return Tokenizer::load(recipe.model.path);
  const int size = bpe_size(recipe.tokenizer);
  const bool bytes = recipe.tokenizer == "bytes" || recipe.tokenizer.empty();
  if (!bytes && size == 0) return Tokenizer::load(recipe.tokenizer);
  if (is_masked(recipe) && bytes)
    usage(
        "[recipe] the byte tokenizer has no mask token, which the masked objective needs; "
        "tokenizer = \"bpe:4096\" or a directory has one");
  if (bytes) return Tokenizer::bytes();
  return trained_tokenizer(recipe, size);
}

const Family& family_named(const std::string& name) {
  std::string known;
  for (const Family& family : families()) {
    if (family.model_type == name) return family;
    known += cat(known.empty() ? "" : ", ", family.model_type);
  }
  fail(Code::kUnsupported, "[recipe] there is no model family \"", name, "\"; known are ", known);
}

// The heads beside the language model's that answer what is asked of a whole sequence.
bool answers(const ModelSpec& spec, Sentences sentences) {
  if (sentences == Sentences::one) return spec.heads.size() == 1;
  const auto* classifier = spec.head<Classifier>();
  return spec.heads.size() == 3 && spec.head<Pooler>() && classifier &&
         classifier->label ==
             (sentences == Sentences::next ? "next_sentence_label" : "sentence_order_label");
}

// Whether a model learns the objective and nothing else: one language-model head, over attention
// that sees what the objective lets it see, with an encoder before it where there are sources.
bool learns(const ModelSpec& spec, DataObjective objective, Sentences sentences) {
  if (objective == DataObjective::replaced)
    return spec.head<ReplacedHead>() && spec.heads.size() == 1;
  if (objective == DataObjective::permutation)
    return spec.predicts_by_queries() && spec.heads.size() == 1;
  const bool causal = objective != DataObjective::masked;
  const auto* head = spec.head<LmHead>();
  if (!head || !answers(spec, sentences)) return false;
  if (spec.reads_source() != has_source(objective)) return false;
  const auto sees = [](const BlockSpec& block) { return sees_prefix(block.mixer); };
  if (objective == DataObjective::prefix && !std::ranges::all_of(spec.stack().blocks, sees))
    return false;
  if (head->predicts != (causal ? Predicts::next : Predicts::same)) return false;
  return std::all_of(spec.stack().blocks.begin(), spec.stack().blocks.end(),
                     [&](const BlockSpec& block) { return is_causal(block.mixer) == causal; });
}

// The class of `config`'s family that learns the objective; the one it names where that does.
std::string class_for(Json config, const Recipe& recipe) {
  const DataObjective objective = recipe.objective;
  const Json* named = config.find("architectures");
  if (named && learns(resolve(config).spec, objective, recipe.sentences))
    return named->at(size_t{0}).as_string();
  const Family& family = family_named(config.at("model_type").as_string());
  for (std::string_view architecture : family.architectures) {
    config.set("architectures", Json::array({Json(architecture)}));
    try {
      if (learns(resolve(config).spec, objective, recipe.sentences))
        return std::string(architecture);
    } catch (const Error& error) {
      // A class the family knows only to refuse.
      if (error.code() != Code::kUnsupported) throw;
    }
  }
  const auto name =
      std::ranges::find(kObjectiveNames, objective, [](const auto& n) { return n.second; });
  fail(Code::kUnsupported, "[recipe] family ", family.model_type, " has no class that learns the ",
       name->first, " objective",
       recipe.sentences == Sentences::one ? "" : " and what `sentences` asks");
}

Checkpoint checkpoint_for(Ctx& c, const Recipe& recipe, const Tokenizer& tokenizer) {
  const fs::path path = recipe.model.path;
  LoadOptions options;
  options.format = Format::f32;
  if (path.empty()) return empty_checkpoint(config_for(recipe, tokenizer));
  if (!fs::exists(path)) fail(Code::kNotFound, "[recipe] model: there is no ", path.string());
  if (from_scratch(recipe)) {
    Json config = Json::parse_file(path);
    options.architecture = class_for(config, recipe);
    return empty_checkpoint(std::move(config), options);
  }
  const Json config = Json::parse_file(path / "config.json");
  const std::string wanted = class_for(config, recipe);
  const Json* named = config.find("architectures");
  if (!named || !named->is_array() || !named->size() || named->at(size_t{0}) != Json(wanted))
    options.architecture = wanted;
  return load_checkpoint(c, path, options);
}

void add_adapter(Ctx& c, const Recipe& recipe, Checkpoint& checkpoint,
                 const std::optional<fs::path>& resume) {
  if (from_scratch(recipe))
    usage(
        "[recipe] adapter: there is nothing to adapt in a model that starts at random; let model "
        "name a checkpoint");
  if (!checkpoint.fresh.empty())
    usage("[recipe] adapter: ", checkpoint.fresh.front(),
          " is not in the checkpoint, and an adapter would not keep it: train the model itself");
  checkpoint.model->adapters().push_back(resume ? load_adapter(c, checkpoint, *resume)
                                                : make_adapter(checkpoint, recipe.adapter));
}

DataSpec data_spec(const Recipe& recipe, const ModelSpec& model) {
  DataSpec spec;
  spec.paths = recipe.data;
  spec.objective = recipe.objective;
  spec.packing = recipe.packing;
  spec.length = recipe.length;
  spec.validation = recipe.validation;
  spec.seed = recipe.seed;
  spec.mask.rate = recipe.mask_rate;
  spec.mask.whole_words = recipe.mask_words;
  spec.mask.copies = recipe.mask_copies;
  spec.sentences = recipe.sentences;
  if (recipe.objective == DataObjective::replaced) spec.mask.p_mask = 1, spec.mask.p_random = 0;
  spec.permutation.rate = recipe.mask_rate;
  spec.spans = recipe.spans();
  spec.target_length = recipe.target_length;
  spec.start = model.decoder_start;
  return spec;
}

void check_fit(Setup& setup, const Recipe& recipe) {
  const ModelSpec& spec = setup.checkpoint.model->spec();
  if (setup.tokenizer.vocab_size() > spec.embed.vocab)
    usage("[recipe] the tokenizer has ", setup.tokenizer.vocab_size(),
          " tokens and the model's table ", spec.embed.vocab, " rows");
  if (std::holds_alternative<LearnedPositions>(spec.embed.position)) {
    if (recipe.length > spec.max_positions)
      usage("[recipe] length ", recipe.length, " is beyond the model's ", spec.max_positions,
            " positions");
  } else if (recipe.length > spec.max_positions) {
    setup.notes.push_back(cat("length ", recipe.length, " is beyond the ", spec.max_positions,
                              " positions the model was made for"));
  }
  const bool goes_on =
      recipe.objective == DataObjective::causal || recipe.objective == DataObjective::prefix;
  if (goes_on && !setup.tokenizer.special().eos)
    setup.notes.push_back(
        "the tokenizer has no end-of-text token: the model will never learn to "
        "stop");
  if (!from_scratch(recipe) && !recipe.tokenizer.empty())
    setup.notes.push_back(cat("tokenizer \"", recipe.tokenizer,
                              "\" replaces the checkpoint's own: unless both number the same "
                              "tokens alike, what the model knows of them is lost"));
  if (!setup.checkpoint.fresh.empty())
    setup.notes.push_back(cat(setup.checkpoint.fresh.size(),
                              " parameters are not in the checkpoint and start at random: ",
                              setup.checkpoint.fresh.front(),
                              setup.checkpoint.fresh.size() > 1 ? ", ..." : ""));
}

}  // namespace

bool from_scratch(const Recipe& recipe) {
  return recipe.model.path.empty() || recipe.model.path.ends_with(".json");
}

Json config_for(const Recipe& recipe, const Tokenizer& tokenizer) {
  const ModelSizes& sizes = recipe.model.sizes;
  const std::string family = !sizes.family.empty()                            ? sizes.family
                             : recipe.objective == DataObjective::replaced    ? "deberta-v2"
                             : recipe.objective == DataObjective::permutation ? "xlnet"
                             : is_masked(recipe)                              ? "bert"
                             : has_source(recipe.objective)                   ? "t5"
                                                                              : "llama";
  const auto token = [](std::optional<int32_t> id) { return id ? Json(*id) : Json(); };
  const auto own = [&](std::string_view usual) { return own_key(family, usual); };
  Json config = Json::object({
      {"model_type", std::string(family_named(family).model_type)},
      {"vocab_size", tokenizer.vocab_size()},
      {own("hidden_size"), sizes.width},
      {own("num_hidden_layers"), sizes.layers},
      {own("num_attention_heads"), sizes.heads},
      {"num_key_value_heads", sizes.kv_heads ? sizes.kv_heads : sizes.heads},
      {own("max_position_embeddings"),
       sizes.positions ? Json(sizes.positions) : Json(recipe.length)},
      {"tie_word_embeddings", sizes.tied},
      {"bos_token_id", token(tokenizer.special().bos)},
      {"eos_token_id", token(tokenizer.special().eos)},
      {"pad_token_id", token(tokenizer.special().pad)},
  });
  if (has_source(recipe.objective)) {
    // What stands before a target is never predicted: any token will do that marks no text.
    const auto& special = tokenizer.special();
    config.set("decoder_start_token_id", token(special.pad ? special.pad : special.eos));
    config.set(own("head_dim"), std::max(1, sizes.width / sizes.heads));
    config.set("num_decoder_layers", sizes.layers);
  }
  const Json usual_keys = customs_of(family, recipe.length);
  for (const auto& [key, value] : usual_keys.members()) config.set(key, value);
  for (const auto& [key, value] : sizes.config.members()) config.set(key, value);
  config.set("architectures", Json::array({Json(class_for(config, recipe))}));
  // A gated feed-forward has three matrices where the plain one has two: 8/3 of the width makes
  // them as large as the plain one's 4.
  const bool gated = std::holds_alternative<Glu>(resolve(config).spec.stack().blocks.front().ffn);
  constexpr int kMultiple = 32;
  const int usual =
      gated ? (sizes.width * 8 / 3 + kMultiple - 1) / kMultiple * kMultiple : 4 * sizes.width;
  const std::string inner = own("intermediate_size");
  if (!config.has(inner)) config.set(inner, sizes.inner > 0 ? sizes.inner : usual);
  return config;
}

ParamStore& learnt(Model& model) {
  return model.adapters().empty() ? model.params() : model.adapters().front()->params();
}

// The generator that goes with a discriminator's configuration.
Json generator_config(Json config, const Recipe& recipe) {
  Recipe masked = recipe;
  masked.objective = DataObjective::masked;
  config.set("architectures", Json::array({Json(class_for(config, masked))}));
  const std::string family = config.at("model_type").as_string();
  const std::string layers = own_key(family, "num_hidden_layers");
  const auto all = static_cast<int64_t>(resolve(config).spec.stack().executions());
  config.set(layers, recipe.generator.layers > 0 ? int64_t{recipe.generator.layers}
                                                 : std::max<int64_t>(1, all / 2));
  return config;
}

// Both models of replaced-token detection: new, or as a run has left them.
std::pair<Checkpoint, Checkpoint> replaced_models(Ctx& c, const Recipe& recipe,
                                                  const Tokenizer& tokenizer,
                                                  const std::optional<fs::path>& resume) {
  if (resume) return load_replaced(c, *resume);
  if (!from_scratch(recipe) || recipe.adapter.rank > 0)
    usage("[recipe] replaced-token detection starts from random weights, without an adapter");
  Json config = recipe.model.path.empty() ? config_for(recipe, tokenizer)
                                          : Json::parse_file(recipe.model.path);
  config.set("architectures", Json::array({Json(class_for(config, recipe))}));
  Checkpoint generator = empty_checkpoint(generator_config(config, recipe));
  return {std::move(generator), make_discriminator(std::move(config))};
}

Setup set_up(Ctx& c, const Recipe& recipe, const std::optional<fs::path>& resume) {
  Tokenizer tokenizer = resume ? Tokenizer::load(*resume) : tokenizer_for(recipe);
  if (recipe.objective == DataObjective::replaced) {
    auto [generator, discriminator] = replaced_models(c, recipe, tokenizer, resume);
    Dataset data =
        Dataset::open(data_spec(recipe, discriminator.model->spec()), tokenizer, *c.team);
    Setup setup{std::move(tokenizer),
                std::move(discriminator),
                std::move(generator),
                std::move(data),
                true,
                {}};
    setup.checkpoint.model->set_format(recipe.dtype);
    setup.generator->model->set_format(recipe.dtype);
    check_fit(setup, recipe);
    return setup;
  }
  const bool adapts = recipe.adapter.rank > 0;
  Checkpoint checkpoint = resume && !adapts ? load_checkpoint(c, *resume, {.format = Format::f32})
                                            : checkpoint_for(c, recipe, tokenizer);
  if (adapts) add_adapter(c, recipe, checkpoint, resume);
  Dataset data = Dataset::open(data_spec(recipe, checkpoint.model->spec()), tokenizer, *c.team);
  Setup setup{std::move(tokenizer), std::move(checkpoint), std::nullopt,
              std::move(data),      from_scratch(recipe),  {}};
  setup.checkpoint.model->set_format(recipe.dtype);
  check_fit(setup, recipe);
  return setup;
}

}  // namespace stemma
