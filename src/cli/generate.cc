// stemma generate MODEL [PROMPT]: text that goes on from a prompt, or from each of many.
#include "run/generate.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "cli/dtype_option.h"
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
  std::string model, prompt, ids, adapter;
  SamplingOptions sampling{128};
  std::optional<double> min_p, repetition_penalty;
  int beams = 1;
  std::vector<std::string> stop, prompts;
  bool no_stream = false, ignore_eos = false, logprobs = false, prefix = false;
  int state_memory = 0;
  DtypeOption dtype;

  void declare(Options& o) {
    o.add("model", model, "A model: directory or name", true);
    o.add("prompt", prompt, "The text to go on from (default: standard input)");
    o.add("--ids", ids, "Token ids instead of a text: 1,15043,29892");
    o.add("--prompts", prompts, "Files with a prompt a line, run together (-: standard input)");
    o.add("--adapter", adapter, "A directory of pip's peft: a LoRA adapter to add to the model");
    sampling.declare(o);
    o.add("--min-p", min_p, "Sample among those at least this fraction of the most probable");
    o.add("--repetition-penalty", repetition_penalty, "Divide the scores of tokens already seen");
    o.add("--beams", beams, "Beam search of this width");
    o.add("--stop", stop, "Stop before this text (may be given several times)");
    o.add("--ignore-eos", ignore_eos, "Go on after an end-of-sequence token");
    o.add("--prefix", prefix,
          "The prompt's tokens all see each other: for models trained with objective = \"prefix\"");
    o.add("--no-stream", no_stream, "Print the text when it is complete");
    o.add("--logprobs", logprobs, "With --json: the log-probability of each new id");
    o.add("--state-memory", state_memory,
          "MiB for what is remembered of prompts in progress (0: half of the machine's memory)");
    dtype.declare(o);
    o.footer(
        "Defaults come from the model's generation_config.json. Examples:\n"
        "  stemma generate Qwen/Qwen3-0.6B 'Once upon a time' -n 64\n"
        "  stemma generate Qwen/Qwen3-0.6B 'Once upon a time' --temperature 0.8 --top-p 0.95 "
        "--seed 7\n"
        "  stemma generate Qwen/Qwen3-0.6B --prompts questions.txt --json > answers.jsonl");
  }

  GenerateOptions options(const std::filesystem::path& directory, const Json& config) const {
    GenerateOptions g = generation_defaults(directory, config);
    if (beams < 1) fail(Code::kUsage, "[generate] --beams must be at least 1");
    g.num_beams = beams;
    g.stop = stop;
    g.logprobs = logprobs;
    g.prefix = prefix;
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

  int64_t state_bytes() const {
    if (state_memory < 0) fail(Code::kUsage, "[generate] --state-memory must not be negative");
    if (state_memory > 0) return int64_t{state_memory} << 20;
    return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE) / 2;
  }

  // What there is to go on from: ids, one text, or the lines of files.
  std::vector<Ints> inputs(Ctx& c, const Tokenizer* tokenizer) const {
    if (!ids.empty()) return {parse_ids(ids)};
    std::vector<std::string> texts;
    if (!prompts.empty()) {
      texts = read_lines(prompts);
    } else if (!prompt.empty()) {
      texts = {prompt};
    } else {
      std::string all;
      for (const std::string& line : read_lines({})) all += (all.empty() ? "" : "\n") + line;
      texts = {all};
    }
    std::vector<Ints> out(texts.size());
    c.team->run_range(static_cast<int64_t>(texts.size()), 16, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        out[i] = tokenizer->encode(texts[i]).ids;
    });
    return out;
  }

  void show(const Session& session, const Generated& out, bool has_text) const {
    if (session.json) {
      Json object = Json::object({{"ids", Json::array({out.ids.begin(), out.ids.end()})},
                                  {"text", out.text},
                                  {"finish_reason", out.finish_reason}});
      if (logprobs) object.set("logprobs", Json::array({out.logprobs.begin(), out.logprobs.end()}));
      session.emit(object);
    } else if (has_text) {
      session.print(out.text);
    } else {
      std::string line;
      for (int32_t id : out.ids) line += cat(line.empty() ? "" : ",", id);
      session.print(line);
    }
  }

  int run(Session& session) {
    Ctx c = session.engine.ctx();
    const int64_t memory = state_bytes();
    const std::filesystem::path directory = resolve_model(model);
    const Checkpoint checkpoint =
        load_checkpoint(c, directory, {.adapter = adapter, .format = dtype.format("generate")});
    dtype.tell(session, checkpoint);
    const GenerateOptions g = options(directory, checkpoint.config);
    std::optional<Tokenizer> loaded;
    // Ids suffice where a directory has no tokenizer; a text needs one.
    try {
      loaded = Tokenizer::load(directory);
    } catch (const Error&) {
      if (ids.empty()) throw;
    }
    const Tokenizer* tokenizer = loaded ? &*loaded : nullptr;
    const std::vector<Ints> input = inputs(c, tokenizer);
    if (prompts.empty() && !session.json && !no_stream && tokenizer && beams == 1) {
      generate(c, *checkpoint.model, input[0], g, tokenizer, [](int32_t, std::string_view text) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
        return true;
      });
      session.print("");
      return 0;
    }
    // Each result as soon as all before it are out.
    std::vector<std::optional<Generated>> done(input.size());
    size_t shown = 0;
    generate(
        c, *checkpoint.model, input, g, tokenizer,
        [&](size_t i, const Generated& out) {
          done[i] = out;
          for (; shown < done.size() && done[shown]; done[shown++].reset())
            show(session, *done[shown], tokenizer != nullptr);
        },
        memory);
    return 0;
  }
};

const RegisterVerb<Generate> verb("Run a model", "generate", "Text that goes on from a prompt");

}  // namespace
}  // namespace stemma::cli
