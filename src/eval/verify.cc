#include "eval/verify.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "autograd/tape.h"
#include "eval/case.h"
#include "eval/compare.h"
#include "model/adapter_files.h"
#include "model/checkpoint.h"
#include "model/memory.h"
#include "ops/primitives.h"
#include "run/embed.h"
#include "run/generate.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/objectives.h"
#include "train/schedule.h"
#include "train/step.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

Ints ints(const Json& list) {
  Ints out;
  for (const Json& id : list.items()) out.push_back(static_cast<int32_t>(id.as_int()));
  return out;
}

// Places at which two lists differ, a missing element being a difference.
template <class List>
size_t differences(const List& a, const List& b) {
  size_t count = std::max(a.size(), b.size()) - std::min(a.size(), b.size());
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] != b[i];
  return count;
}

class CaseRun {
 public:
  CaseRun(Ctx& c, const fs::path& folder, const std::function<void(const Verdict&)>& report)
      : c_(c), folder_(folder), report_(report), case_(Json::parse_file(folder / "case.json")) {}

  bool run() {
    part("outputs", "outputs.safetensors", [&] { outputs(); });
    part("gradients", "grads.safetensors", [&] { gradients(); });
    part("generate", "generate.json", [&] { generation(); });
    part("train", "train.json", [&] { training(); });
    part("text", "text.json", [&] { text(); });
    if (reported_ == 0) fault("case", "the case holds nothing to compare");
    return ok_;
  }

 private:
  // Runs one part of the case if its file is there; what it throws is a failed result.
  template <class F>
  void part(const char* name, const char* file, F&& f) {
    if (!fs::exists(folder_ / file)) return;
    attempt(name, f);
  }
  template <class F>
  void attempt(const std::string& name, F&& f) {
    try {
      f();
    } catch (const std::exception& e) {
      fault(name, e.what());
    }
  }

  void give(Verdict verdict) {
    ok_ = ok_ && verdict.ok;
    ++reported_;
    report_(verdict);
  }
  void fault(const std::string& name, std::string why) {
    give({name, 0, 0, false, std::move(why)});
  }
  void compare(const std::string& name, double error, double limit) {
    give({name, error, limit, error <= limit, {}});
  }
  void equal(const std::string& name, size_t differing, std::string detail = {}) {
    give({name, static_cast<double>(differing), 0, differing == 0,
          differing ? std::move(detail) : std::string()});
  }

  double limit(const std::string& name, double base) const {
    return error_limit(case_, name, base);
  }

  fs::path model_directory() const { return folder_ / "model"; }
  Checkpoint& checkpoint() {
    if (!checkpoint_) checkpoint_ = load_case_model(c_, folder_);
    return *checkpoint_;
  }
  const CaseInputs& inputs() {
    if (!inputs_) {
      inputs_.emplace(TensorFiles::open(folder_ / "inputs.safetensors"),
                      is_sentence_case() ? std::nullopt : target_ids(checkpoint()));
      if (!is_sentence_case()) inputs_->fit(c_, checkpoint().model->spec());
    }
    return *inputs_;
  }

  bool labels_are_per_token() {
    const Model& model = *checkpoint().model;
    const auto* classifier = model.head<ClassifierLayer>();
    return model.head<LmHeadLayer>() || (classifier && classifier->spec.reads == Reads::tokens);
  }

  Labels labels(const CaseInputs& from) {
    Labels out;
    for (const char* name : {"labels", "next_sentence_label", "sentence_order_label",
                             "start_positions", "end_positions"}) {
      if (!from.has(name)) continue;
      const Numbers& given = from.at(name);
      Tensor values;
      if (std::string_view(name) == "labels" && labels_are_per_token()) {
        values = Tensor::from(c_, from.per_token(name));
      } else if (std::string_view(name).ends_with("_positions")) {
        values = Tensor::from(c_, within_sequences(from, given));
      } else {
        if (given.whole)
          values = Tensor::from(c_, Ints(given.values.begin(), given.values.end()));
        else
          values = Tensor::from<float>(
              c_, std::vector<float>(given.values.begin(), given.values.end()), {given.elements()});
      }
      out.emplace_back(name, values);
    }
    return out;
  }

  // Positions in padded rows, counted from the first real token of their sequence.
  static Ints within_sequences(const CaseInputs& from, const Numbers& positions) {
    const int64_t length = from.main().length;
    const Ints& start = from.batch().main.start;
    Ints out;
    for (int64_t s = 0; s < from.sequences(); ++s) {
      const auto i = static_cast<size_t>(s);
      const auto first = from.main().places.begin() + start[i],
                 last = from.main().places.begin() + start[i + 1];
      const auto wanted = s * length + static_cast<int64_t>(positions.values[i]);
      const auto found = std::find(first, last, wanted);
      out.push_back(static_cast<int32_t>(found - first));  // past the end where it is not there
    }
    return out;
  }

  bool is_sentence_case() const { return fs::exists(model_directory() / "modules.json"); }

  void outputs() {
    const TensorFiles reference = TensorFiles::open(folder_ / "outputs.safetensors");
    std::vector<std::pair<std::string, Tensor>> ours;
    if (reference.find("embeddings")) {
      const Embedder embedder = Embedder::load(c_, model_directory(), {.format = Format::f32});
      ours.emplace_back("embeddings", embedder.embed_batch(c_, inputs().batch()));
    }
    const bool more = reference.tensors().size() > ours.size();
    if (more && !is_sentence_case()) {
      const Model& model = *checkpoint().model;
      HiddenStates hidden_states;
      const Tensor hidden = model.forward(c_, inputs().batch(), nullptr, &hidden_states);
      ours.emplace_back("last_hidden_state", hidden);
      const bool both = model.spec().reads_source();
      const auto add_states = [&](const std::string& name, const std::vector<Tensor>& states) {
        for (size_t i = 0; i < states.size(); ++i) ours.emplace_back(cat(name, i), states[i]);
      };
      add_states(both ? "encoder_hidden_states." : "hidden_states.", hidden_states.encoder);
      add_states(both ? "decoder_hidden_states." : "hidden_states.", hidden_states.decoder);
      if (both) ours.emplace_back("encoder_last_hidden_state", hidden_states.encoder.back());
      if (model.spec().memory && reference.find("mems.0")) {
        const Memory memory =
            remember(c_, *model.spec().memory, inputs().batch(),
                     model.spec().decoder ? hidden_states.decoder : hidden_states.encoder);
        for (size_t i = 0; i < memory.layers.size(); ++i)
          ours.emplace_back(cat("mems.", i), tokens_first(memory.layers[i]));
      }
      for (auto& answer : model.answers(c_, inputs().batch(), hidden)) ours.push_back(answer);
      if (reference.find("loss"))
        attempt("loss", [&] {
          const Tensor loss = class_loss(c_, model, inputs().batch(), hidden, labels(inputs()));
          ours.emplace_back("loss", loss);
        });
    }
    for (const StoredTensor& stored : reference.tensors()) {
      const auto found = std::find_if(ours.begin(), ours.end(),
                                      [&](const auto& o) { return o.first == stored.name; });
      if (found == ours.end()) {
        if (stored.name != "loss") fault(stored.name, "Stemma does not compute this output");
        continue;
      }
      const Tensor& result = found->second;
      attempt(stored.name, [&] {
        const bool of_source = inputs().batch().source && stored.name.starts_with("encoder_");
        const Numbers given = read_numbers(stored);
        const Padded& layout = of_source ? inputs().source() : inputs().layout(given, result);
        const std::vector<double> expected = real_values(given, layout, result);
        compare(stored.name, relative_error(doubles(result), expected),
                limit(stored.name, kOutputLimit));
      });
    }
  }

  // Memory [B M, C], of as many rows for each sequence, as [M,B,C].
  Tensor tokens_first(const Tensor& rows) {
    const int64_t sequences = inputs().sequences(), length = rows.extent(0) / sequences;
    check(length * sequences == rows.extent(0), "sequences remember unequal numbers of tokens");
    return contiguous(
        c_, permute(c_, reshape(c_, rows, {sequences, length, rows.extent(1)}), {1, 0, 2}));
  }

  void gradients() {
    Checkpoint& checkpoint = this->checkpoint();
    Model& model = *checkpoint.model;
    // With an adapter it is the adapter's gradients that a case has.
    ParamStore& learnt =
        model.adapters().empty() ? model.params() : model.adapters().front()->params();
    learnt.make_flat(c_, 0, true);
    Tape tape;
    learnt.watch(tape);
    Ctx recorded = c_;
    recorded.tape = &tape;
    const Tensor hidden = model.forward(recorded, inputs().batch());
    const Tensor loss = class_loss(recorded, model, inputs().batch(), hidden, labels(inputs()));
    tape.backward(recorded, loss);

    const TensorFiles reference = TensorFiles::open(folder_ / "grads.safetensors");
    const std::vector<PublishedTensor> published = published_tensors(checkpoint);
    std::vector<Numbers> expected;
    double squares = 0;
    int64_t count = 0;
    for (const StoredTensor& stored : reference.tensors()) {
      expected.push_back(read_numbers(stored));
      for (double v : expected.back().values) squares += v * v;
      count += expected.back().elements();
    }
    const double rms = std::sqrt(squares / static_cast<double>(std::max<int64_t>(1, count)));
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::string& name = reference.tensors()[i].name;
      const std::vector<double> ours = published_values(published, name, &Parameter::grad);
      if (ours.empty()) {
        fault("grad." + name, "no parameter of the model has this name");
        continue;
      }
      if (ours.size() != expected[i].values.size()) {
        fault("grad." + name, "the gradient's size differs");
        continue;
      }
      const double floor = 0.1 * rms * std::sqrt(static_cast<double>(ours.size()));
      compare("grad." + name, relative_error(ours, expected[i].values, floor),
              limit(name, kGradientLimit));
    }
  }

  // By published name, as the reference lists them: a tied head's matrix is the embedding.
  // Empty where there is no such tensor.
  std::vector<double> published_values(const std::vector<PublishedTensor>& published,
                                       const std::string& name, Tensor Parameter::*of) {
    for (const auto& adapter : checkpoint().model->adapters())
      for (const Parameter& p : adapter->params().all())
        if (peft_name(checkpoint(), p) == name) return doubles(p.*of);
    const auto found = find_published(checkpoint().rules, name);
    if (!found) return {};
    const std::string own = found->own.front() == "heads.lm.decoder.weight" &&
                                    !checkpoint().model->params().find(found->own.front())
                                ? "embed.tokens"
                                : found->own.front();
    for (const PublishedTensor& tensor : published)
      if (tensor.parts.front()->name == own && tensor.parts.front()->*of) {
        const std::vector<float> values = tensor.values(of);
        return {values.begin(), values.end()};
      }
    return {};
  }

  void generation() {
    const Json file = Json::parse_file(folder_ / "generate.json");
    const Model& model = *checkpoint().model;
    GenerateOptions options = generation_defaults(model_directory(), checkpoint().config);
    options.max_new_tokens = static_cast<int>(file.at("max_new_tokens").as_int());
    options.sampling.sample = false;
    for (const char* kind : {"greedy", "beam"}) {
      const Json* expected = file.find(kind);
      if (!expected || expected->is_null()) continue;
      options.num_beams =
          std::string_view(kind) == "beam" ? static_cast<int>(file.at("num_beams").as_int()) : 1;
      for (size_t i = 0; i < expected->size(); ++i)
        attempt(cat(kind, ".", i), [&] {
          const Ints prompt = ints(file.at("prompts").at(i));
          const Ints ours = generate(c_, model, prompt, options).ids;
          equal(cat(kind, ".", i), differences(ours, ints(expected->at(i))));
        });
    }
  }

  void training() {
    const Json file = Json::parse_file(folder_ / "train.json");
    const TensorFiles tensors = TensorFiles::open(folder_ / "train.safetensors");
    // A model of its own: training changes the weights.
    checkpoint_ = load_case_model(c_, folder_);
    Model& model = *checkpoint_->model;
    model.params().make_flat(c_, 0, true);

    const OptimizerSpec spec = optimizer_spec(file);
    const Schedule schedule = schedule_of(file.at("schedule"));
    const Json &lrs = file.at("lrs"), &losses = file.at("losses"), &norms = file.at("grad_norms");
    const bool causal = file.at("objective").as_string() == "causal";
    const int64_t accumulation = file.get("accumulation", 1);
    Optimizer optimizer(c_, model.params(), spec);
    double lr_error = 0;
    for (size_t step = 0; step < losses.size(); ++step) {
      const double lr = spec.lr * schedule.factor(static_cast<int64_t>(step));
      lr_error = std::max(lr_error, std::abs(lr - lrs.at(step).as_double()));
      const CaseInputs whole(tensors, static_cast<int64_t>(step), target_ids(checkpoint()));
      const StepResult result =
          train_step(c_, model, parts(whole, accumulation, causal), optimizer, lr);
      compare(cat("loss.", step), relative_error(result.loss, losses.at(step).as_double()), 1e-5);
      compare(cat("grad_norm.", step), relative_error(result.grad_norm, norms.at(step).as_double()),
              1e-3);
    }
    compare("lrs", lr_error, 1e-12);
    const std::vector<PublishedTensor> published = published_tensors(checkpoint());
    for (const StoredTensor& stored : tensors.tensors()) {
      if (!stored.name.starts_with("final.")) continue;
      const std::vector<double> ours =
          published_values(published, stored.name.substr(6), &Parameter::value);
      if (ours.empty()) {
        fault(stored.name, "no parameter of the model has this name");
        continue;
      }
      compare(stored.name, relative_error(ours, read_numbers(stored).values), 1e-4);
    }
  }

  static OptimizerSpec optimizer_spec(const Json& file) {
    const Json& given = file.at("optimizer");
    // The key is not fixed by the format: both spellings are met.
    const std::string kind = given.get("kind", given.get("name", "adamw").c_str());
    if (kind != "adamw") fail(Code::kUnsupported, "[train] optimizer ", kind, " is not supported");
    OptimizerSpec spec;
    spec.lr = given.at("lr").as_double();
    if (const Json* betas = given.find("betas"))
      spec.betas = {betas->at(size_t{0}).as_double(), betas->at(1).as_double()};
    spec.eps = given.get("eps", spec.eps);
    spec.weight_decay = given.get("weight_decay", spec.weight_decay);
    spec.max_grad_norm = file.get("max_grad_norm", 0.0);
    spec.expert_balance = 0;  // the reference has the optimiser's updates alone
    return spec;
  }

  static Schedule schedule_of(const Json& given) {
    Schedule schedule;
    const std::string& kind = given.at("kind").as_string();
    const auto row = std::find_if(kScheduleNames.begin(), kScheduleNames.end(),
                                  [&](const auto& r) { return r.first == kind; });
    if (row == kScheduleNames.end())
      fail(Code::kUnsupported, "[train] schedule ", kind, " is not supported");
    schedule.kind = row->second;
    schedule.warmup = given.get("warmup", 0);
    schedule.total = given.get("total", 0);
    schedule.decay_start = given.get("decay_start", 0);
    return schedule;
  }

  // A step's rows, cut into `count` parts.
  static std::vector<TrainPart> parts(const CaseInputs& whole, int64_t count, bool causal) {
    std::vector<TrainPart> out;
    for (int64_t p = 0; p < count; ++p) {
      const CaseInputs rows =
          whole.part(whole.sequences() * p / count, whole.sequences() * (p + 1) / count);
      const Ints labels = rows.per_token("labels");
      out.push_back({rows.batch(), causal ? next_labels(rows.batch().main, labels) : labels, {}});
    }
    return out;
  }

  void text() {
    const Json rows = Json::parse_file(folder_ / "text.json");
    // A directory may have a chat template and no tokenizer, or the other way round.
    std::optional<Tokenizer> tokenizer;
    for (size_t i = 0; i < rows.size(); ++i)
      attempt(cat("text.", i), [&] {
        const std::string name = cat("text.", i);
        if (rows.at(i).has("messages")) return chat_row(name, rows.at(i));
        if (!tokenizer) tokenizer = Tokenizer::load(model_directory());
        text_row(name, *tokenizer, rows.at(i));
      });
  }

  void chat_row(const std::string& name, const Json& row) {
    ChatInput input;
    input.messages = row.at("messages");
    if (const Json* tools = row.find("tools")) input.tools = *tools;
    if (const Json* documents = row.find("documents")) input.documents = *documents;
    if (const Json* variables = row.find("kwargs")) input.variables = *variables;
    input.add_generation_prompt = row.get("add_generation_prompt", false);
    if (const Json* error = row.find("error")) {
      std::optional<std::string> message;
      try {
        ChatTemplate::load(model_directory()).render(input);
      } catch (const Error& e) {
        message = e.message();
      }
      const bool as_told = message && message->find(error->as_string()) != std::string::npos;
      return equal(name + ".error", as_told ? 0 : 1, message.value_or("no error"));
    }
    const Rendered ours = ChatTemplate::load(model_directory()).render(input);
    equal(name + ".rendered", differences(ours.text, row.at("rendered").as_string()), ours.text);
    if (const Json* spans = row.find("generation")) {
      std::vector<TextRange> expected;
      for (const Json& span : spans->items())
        expected.push_back({static_cast<size_t>(span.at(size_t{0}).as_int()),
                            static_cast<size_t>(span.at(1).as_int())});
      equal(name + ".generation", differences(ours.generation, expected), ours.text);
    }
  }

  void text_row(const std::string& name, const Tokenizer& tokenizer, const Json& row) {
    const std::string& text = row.at("text").as_string();
    const Json* pair = row.find("pair");
    const Encoding ours = pair && !pair->is_null() ? tokenizer.encode_pair(text, pair->as_string())
                                                   : tokenizer.encode(text);
    equal(name + ".ids", differences(ours.ids, ints(row.at("ids"))), text);
    if (const Json* types = row.find("type_ids"))
      equal(name + ".type_ids", differences(ours.type_ids, ints(*types)), text);
    if (const Json* offsets = row.find("offsets")) {
      std::vector<std::pair<int32_t, int32_t>> expected;
      for (const Json& span : offsets->items())
        expected.emplace_back(static_cast<int32_t>(span.at(size_t{0}).as_int()),
                              static_cast<int32_t>(span.at(1).as_int()));
      equal(name + ".offsets", differences(ours.offsets, expected), text);
    }
    if (const Json* decoded = row.find("decoded"))
      equal(name + ".decoded",
            differences(tokenizer.decode(ints(row.at("ids")), false), decoded->as_string()), text);
  }

  Ctx& c_;
  fs::path folder_;
  const std::function<void(const Verdict&)>& report_;
  Json case_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<CaseInputs> inputs_;
  bool ok_ = true;
  int reported_ = 0;
};

}  // namespace

bool verify_case(Ctx& c, const fs::path& folder,
                 const std::function<void(const Verdict&)>& report) {
  return CaseRun(c, folder, report).run();
}

}  // namespace stemma
