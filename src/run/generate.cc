#include "run/generate.h"

#include <algorithm>
#include <filesystem>
#include <memory>

namespace stemma {
namespace {

// Logits of the batch's last rows, one vector a sequence.
std::vector<float> last_logits(Ctx& c, const Model& model, const Ints& tokens, int first,
                               StateStore& state, SeqId seq) {
  Batch batch;
  batch.main.append(tokens, {}, first);
  batch.seqs = {seq};
  const Tensor hidden = model.forward(c, batch, &state);
  const int64_t rows = hidden.extent(0), width = hidden.extent(1);
  const Tensor last = hidden.view({1, width}, {width, 1}, (rows - 1) * width);
  return model.head<LmHeadLayer>()->logits(c, last).to_vector<float>();
}

// Text that streams out, minus what might still become a stop string.
class StopWatch {
 public:
  explicit StopWatch(const std::vector<std::string>& stops) : stops_(stops) {}

  // Appends; returns what may be shown. found() says whether a stop string has come.
  std::string push(std::string_view piece) {
    text_ += piece;
    for (const std::string& stop : stops_)
      if (const size_t at = text_.find(stop); at != std::string::npos && !stop.empty()) {
        found_ = true;
        text_.resize(std::min(at, text_.size()));
      }
    size_t safe = text_.size();
    if (!found_)
      for (const std::string& stop : stops_)
        for (size_t n = std::min(stop.size(), text_.size()); n > 0; --n)
          if (text_.ends_with(std::string_view(stop).substr(0, n))) {
            safe = std::min(safe, text_.size() - n);
            break;
          }
    return show(safe);
  }
  std::string finish() { return show(text_.size()); }
  bool found() const { return found_; }
  const std::string& text() const { return text_; }

 private:
  std::string show(size_t end) {
    if (end <= shown_) return {};
    std::string out = text_.substr(shown_, end - shown_);
    shown_ = end;
    return out;
  }
  const std::vector<std::string>& stops_;
  std::string text_;
  size_t shown_ = 0;
  bool found_ = false;
};

}  // namespace

GenerateOptions generation_defaults(const std::filesystem::path& directory, const Json& config) {
  Json file = Json::object();
  if (std::filesystem::exists(directory / "generation_config.json"))
    file = Json::parse_file(directory / "generation_config.json");
  auto find = [&](std::string_view key) -> const Json* {
    const Json* found = file.find(key);
    return found ? found : config.find(key);
  };
  GenerateOptions options;
  if (const Json* eos = find("eos_token_id"); eos && !eos->is_null()) {
    if (eos->is_array())
      for (const Json& id : eos->items()) options.eos.push_back(static_cast<int32_t>(id.as_int()));
    else
      options.eos.push_back(static_cast<int32_t>(eos->as_int()));
  }
  options.sampling.repetition_penalty = file.get("repetition_penalty", 1.0);
  options.length_penalty = file.get("length_penalty", 1.0);
  if (const Json* early = file.find("early_stopping"); early && early->is_bool())
    options.early_stopping = early->as_bool();
  if (file.get("do_sample", false)) {
    options.sampling.sample = true;
    options.sampling.temperature = file.get("temperature", 1.0);
    options.sampling.top_k = static_cast<int>(file.get("top_k", 50));
    options.sampling.top_p = file.get("top_p", 1.0);
    options.sampling.min_p = file.get("min_p", 0.0);
  }
  return options;
}

Generated generate(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options,
                   const Tokenizer* tokenizer, const OnToken& on_token) {
  check(model.head<LmHeadLayer>() != nullptr, "[generate] the model has no language-model head");
  check(
      std::get<Attention>(model.spec().stack().blocks.at(0).mixer).causal,
      "[generate] the model is bidirectional: it fills masks (stemma fill) but does not generate");
  check(!prompt.empty(), "[generate] the prompt has no tokens");
  Generated out;
  out.finish_reason = "length";
  if (options.num_beams > 1) {
    out.ids = beam_search(c, model, prompt, options);
    if (!out.ids.empty() &&
        std::find(options.eos.begin(), options.eos.end(), out.ids.back()) != options.eos.end())
      out.finish_reason = "stop";
    if (tokenizer) out.text = tokenizer->decode(out.ids);
    return out;
  }

  StateStore state(state_specs(model.spec()));
  state.reserve(0, static_cast<int>(prompt.size()) + options.max_new_tokens);
  Ints seen = prompt, next = prompt;
  StopWatch watch(options.stop);
  std::unique_ptr<StreamDecoder> decoder;
  if (tokenizer) decoder = std::make_unique<StreamDecoder>(*tokenizer);

  for (int step = 0; step < options.max_new_tokens; ++step) {
    std::vector<float> scores =
        last_logits(c, model, next, static_cast<int>(seen.size() - next.size()), state, 0);
    const int32_t id = choose(scores, seen, options.sampling, step);
    out.ids.push_back(id);
    seen.push_back(id);
    next = {id};
    const bool ended = std::find(options.eos.begin(), options.eos.end(), id) != options.eos.end();
    std::string piece;
    if (decoder && !ended) piece = watch.push(decoder->push(id));
    const bool go_on = !on_token || on_token(id, piece);
    if (ended || watch.found() || !go_on) {
      out.finish_reason = "stop";
      break;
    }
  }
  if (decoder && !watch.found()) {
    std::string rest = watch.push(decoder->finish());
    rest += watch.finish();
    if (on_token && !rest.empty()) on_token(-1, rest);
  }
  out.text = watch.text();
  return out;
}

}  // namespace stemma
