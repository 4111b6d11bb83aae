// stemma generate MODEL [PROMPT]: text that goes on from a prompt.
#include "run/generate.h"

#include <charconv>
#include <cstdio>

#include "cli/sampling_options.h"
#include "cli/verb.h"
#include "hub/cache.h"
#include "model/checkpoint.h"

namespace stemma::cli {
namespace {

Ints parse_ids(const std::string& text) {
  Ints ids;
  for (size_t at = 0; at < text.size();) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    if (error != std::errc())
      fail(Code::kUsage, "[generate] --ids wants numbers with commas between them, got \"", text,
           "\"");
    ids.push_back(id);
    at = static_cast<size_t>(end - text.data());
    while (at < text.size() && (text[at] == ',' || text[at] == ' ')) ++at;
  }
  return ids;
}

struct Generate {
  std::string model, prompt, ids;
  SamplingOptions sampling{128};
  std::optional<double> min_p, repetition_penalty;
  int beams = 1;
  std::vector<std::string> stop;
  bool no_stream = false, ignore_eos = false;

  void declare(Options& o) {
    o.add("model", model, "A model: directory or name", true);
    o.add("prompt", prompt, "The text to go on from (default: standard input)");
    o.add("--ids", ids, "Token ids instead of a text: 1,15043,29892");
    sampling.declare(o);
    o.add("--min-p", min_p, "Sample among those at least this fraction of the most probable");
    o.add("--repetition-penalty", repetition_penalty, "Divide the scores of tokens already seen");
    o.add("--beams", beams, "Beam search of this width");
    o.add("--stop", stop, "Stop before this text (may be given several times)");
    o.add("--ignore-eos", ignore_eos, "Go on after an end-of-sequence token");
    o.add("--no-stream", no_stream, "Print the text when it is complete");
    o.footer(
        "Defaults come from the model's generation_config.json. Examples:\n"
        "  stemma generate Qwen/Qwen3-0.6B 'Once upon a time' -n 64\n"
        "  stemma generate Qwen/Qwen3-0.6B 'Once upon a time' --temperature 0.8 --top-p 0.95 "
        "--seed 7");
  }

  GenerateOptions options(const std::filesystem::path& directory, const Json& config) const {
    GenerateOptions g = generation_defaults(directory, config);
    if (beams < 1) fail(Code::kUsage, "[generate] --beams must be at least 1");
    g.num_beams = beams;
    g.stop = stop;
    if (ignore_eos) g.eos.clear();
    sampling.apply("generate", g);
    Sampling& s = g.sampling;
    if (min_p) s.sample = true;
    if (min_p) s.min_p = *min_p;
    if (repetition_penalty) s.repetition_penalty = *repetition_penalty;
    check_within("generate", "--min-p", s.min_p, 0, 1);
    check_within("generate", "--repetition-penalty", s.repetition_penalty, 1e-3, 1e3);
    sampling.settle(s);
    return g;
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const std::filesystem::path directory = resolve_model(model);
    const Checkpoint checkpoint = load_checkpoint(c, directory);
    const GenerateOptions g = options(directory, checkpoint.config);
    std::optional<Tokenizer> tokenizer;
    Ints input = parse_ids(ids);
    // Ids suffice where a directory has no tokenizer; a text needs one.
    try {
      tokenizer = Tokenizer::load(directory);
    } catch (const Error&) {
      if (input.empty()) throw;
    }
    if (input.empty()) {
      if (prompt.empty())
        for (const std::string& line : read_lines({}))
          prompt += (prompt.empty() ? "" : "\n") + line;
      input = tokenizer->encode(prompt).ids;
    }
    for (int32_t id : input)
      check(id >= 0 && id < checkpoint.model->spec().embed.vocab, "[generate] token id ", id,
            " is outside the vocabulary of ", checkpoint.model->spec().embed.vocab);
    const bool stream = !session.json && !no_stream && tokenizer && beams == 1;
    const Generated out =
        generate(c, *checkpoint.model, input, g, tokenizer ? &*tokenizer : nullptr,
                 [&](int32_t, std::string_view text) {
                   if (stream) {
                     std::fwrite(text.data(), 1, text.size(), stdout);
                     std::fflush(stdout);
                   }
                   return true;
                 });
    if (session.json) {
      std::vector<Json> new_ids(out.ids.begin(), out.ids.end());
      session.emit(Json::object({{"ids", Json::array(std::move(new_ids))},
                                 {"text", out.text},
                                 {"finish_reason", out.finish_reason}}));
    } else if (stream) {
      session.print("");
    } else if (tokenizer) {
      session.print(out.text);
    } else {
      std::string line;
      for (int32_t id : out.ids) line += cat(line.empty() ? "" : ",", id);
      session.print(line);
    }
    return 0;
  }
};

const RegisterVerb<Generate> verb("Run a model", "generate", "Text that goes on from a prompt");

}  // namespace
}  // namespace stemma::cli
