#include "run/generate.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "nn/mixer.h"
#include "run/scheduler.h"

namespace stemma {
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
  if (const Json* start = find("decoder_start_token_id"); start && start->is_number())
    options.decoder_start = static_cast<int32_t>(start->as_int());
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

void check_generates(const Model& model) {
  check(model.head<LmHeadLayer>() != nullptr, "[generate] the model has no language-model head");
  check(
      is_causal(model.spec().stack().blocks.at(0).mixer),
      "[generate] the model is bidirectional: it fills masks (stemma fill) but does not generate");
}

Ints decoder_prompt(const Model& model, const Ints& prompt, const GenerateOptions& options) {
  const ModelSpec& spec = model.spec();
  const auto sees = [](const BlockSpec& block) { return sees_prefix(block.mixer); };
  check(!options.prefix || std::ranges::all_of(spec.stack().blocks, sees),
        "[generate] a layer of this model cannot see a prompt as a prefix, all of it at once");
  if (!spec.reads_source()) return prompt;
  const int32_t start = options.decoder_start.value_or(spec.decoder_start);
  check(start >= 0 && start < spec.embed.vocab, "[generate] the decoder's start token ", start,
        " is outside the vocabulary of ", spec.embed.vocab);
  return {start};
}

int position_limit(const ModelSpec& spec) {
  const auto* learned = std::get_if<LearnedPositions>(&spec.embed.position);
  return learned ? learned->rows : std::numeric_limits<int>::max();
}

namespace {

Generated best_of_beams(Ctx& c, const Model& model, const Ints& prompt,
                        const GenerateOptions& options, const Tokenizer* tokenizer) {
  Generated out;
  out.ids = beam_search(c, model, prompt, options);
  const bool eos = !out.ids.empty() && std::find(options.eos.begin(), options.eos.end(),
                                                 out.ids.back()) != options.eos.end();
  out.finish_reason = eos ? "stop" : "length";
  if (tokenizer) out.text = tokenizer->decode(out.ids);
  return out;
}

}  // namespace

Generated generate(Ctx& c, const Model& model, const Ints& prompt, const GenerateOptions& options,
                   const Tokenizer* tokenizer, const OnToken& on_token) {
  if (model.spec().predicts_by_queries())
    return generate_by_queries(c, model, prompt, options, tokenizer, on_token);
  if (options.num_beams > 1) return best_of_beams(c, model, prompt, options, tokenizer);
  Scheduler scheduler(c, model, tokenizer);
  Generated out;
  scheduler.submit(
      {.prompt = prompt, .options = options, .on_token = on_token, .on_done = [&](Generated done) {
         out = std::move(done);
       }});
  scheduler.run();
  check(out.error.empty(), out.error);
  return out;
}

std::vector<Generated> generate(Ctx& c, const Model& model, std::span<const Ints> prompts,
                                const GenerateOptions& options, const Tokenizer* tokenizer,
                                const OnDone& on_done, int64_t state_bytes) {
  std::vector<Generated> out(prompts.size());
  auto done = [&](size_t i, Generated result) {
    check(result.error.empty(), result.error);
    out[i] = std::move(result);
    if (on_done) on_done(i, out[i]);
  };
  if (model.spec().predicts_by_queries()) {
    for (size_t i = 0; i < prompts.size(); ++i)
      done(i, generate_by_queries(c, model, prompts[i], options, tokenizer, {}));
    return out;
  }
  SchedulerOptions scheduling;
  scheduling.state_bytes = state_bytes;
  Scheduler scheduler(c, model, tokenizer, scheduling);
  for (size_t i = 0; i < prompts.size(); ++i)
    if (options.num_beams > 1)
      done(i, best_of_beams(c, model, prompts[i], options, tokenizer));
    else
      scheduler.submit({.prompt = prompts[i],
                        .options = options,
                        .on_done = [&done, i](Generated result) { done(i, std::move(result)); }});
  scheduler.run();
  return out;
}

}  // namespace stemma
