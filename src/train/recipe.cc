#include "train/recipe.h"

#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/file.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxBytes = size_t{1} << 20;

template <class... Args>
[[noreturn]] void usage(const Args&... args) {
  fail(Code::kUsage, args...);
}

struct Ignore {
  template <class... T>
  void operator()(T&&...) {}
};
template <class T>
concept HasFields = requires(T& t) {
  std::decay_t<T>::visit_fields(t, Ignore());
};

std::span<const std::pair<std::string_view, DataObjective>> names_of(DataObjective) {
  return kObjectiveNames;
}
std::span<const std::pair<std::string_view, Packing>> names_of(Packing) { return kPackingNames; }
std::span<const std::pair<std::string_view, Sentences>> names_of(Sentences) {
  return kSentencesNames;
}
std::span<const std::pair<std::string_view, Rematerialise>> names_of(Rematerialise) {
  return kRematerialiseNames;
}
std::span<const std::pair<std::string_view, Format>> names_of(Format) { return kDtypeNames; }
std::span<const std::pair<std::string_view, OptimizerKind>> names_of(OptimizerKind) {
  return kOptimizerNames;
}
std::span<const std::pair<std::string_view, ScheduleKind>> names_of(ScheduleKind) {
  return kScheduleNames;
}

// Every key in full ("optimizer.lr"), and whether it holds text.
class Keys {
 public:
  static const std::map<std::string, bool, std::less<>>& all() {
    static const auto keys = [] {
      Keys k;
      Recipe recipe;
      Recipe::visit_fields(recipe, k);
      return std::move(k.found_);
    }();
    return keys;
  }
  template <class T>
  void operator()(const char* key, T& field) {
    const std::string full = prefix_ + key;
    found_[full] = std::is_same_v<T, std::string> || std::is_same_v<T, ModelSource> ||
                   std::is_enum_v<T> || std::is_same_v<T, std::vector<std::string>>;
    if constexpr (HasFields<T>)
      enter(full, field);
    else if constexpr (std::is_same_v<T, ModelSource>)
      enter(full, field.sizes);
  }

 private:
  template <class T>
  void enter(const std::string& full, T& field) {
    Keys inner;
    inner.prefix_ = full + ".";
    std::decay_t<T>::visit_fields(field, inner);
    found_.merge(inner.found_);
  }
  std::string prefix_;
  std::map<std::string, bool, std::less<>> found_;
};

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j)
      diagonal = std::exchange(
          row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
  }
  return row.back();
}

[[noreturn]] void unknown_key(std::string_view where, const std::string& key) {
  std::string_view best;
  size_t least = std::max<size_t>(2, key.size() / 3) + 1;
  for (const auto& [known, text] : Keys::all()) {
    // A key of a table is often written without the table, or the other way round.
    const auto last = [](std::string_view k) { return k.substr(k.rfind('.') + 1); };
    const size_t distance =
        std::min(edit_distance(key, known), 1 + edit_distance(last(key), last(known)));
    if (distance < least) least = distance, best = known;
  }
  usage("[", where, "] there is no key ", key,
        best.empty() ? std::string() : cat("; did you mean ", best, "?"));
}

std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

// Reads the fields of one table; finish() refuses keys that no field asked for.
class Reader {
 public:
  Reader(const toml::table& table, std::string_view where, std::string prefix)
      : table_(table), where_(where), prefix_(std::move(prefix)) {}

  template <class T>
  void operator()(const char* key, T& field) {
    asked_.insert(key);
    if (const toml::node* node = table_.get(key)) read(*node, prefix_ + key, field);
  }
  void finish() const {
    for (const auto& [key, node] : table_)
      if (!asked_.count(std::string(key.str())))
        unknown_key(place(node), prefix_ + std::string(key.str()));
  }

 private:
  std::string place(const toml::node& node) const {
    const auto line = node.source().begin.line;
    return line ? cat(where_, ":", line) : "command line";
  }
  [[noreturn]] void wrong(const toml::node& node, const std::string& key,
                          std::string_view expected) const {
    usage("[", place(node), "] ", key, " must be ", expected, ", not ", kind_of(node));
  }

  void read(const toml::node& node, const std::string& key, std::string& field) const {
    if (!node.is_string()) wrong(node, key, "a string");
    field = **node.as_string();
  }
  void read(const toml::node& node, const std::string& key, bool& field) const {
    if (!node.is_boolean()) wrong(node, key, "true or false");
    field = **node.as_boolean();
  }
  void read(const toml::node& node, const std::string& key, double& field) const {
    if (!node.is_number()) wrong(node, key, "a number");
    field = *node.value<double>();
    if (!(std::abs(field) <= std::numeric_limits<double>::max()))
      usage("[", place(node), "] ", key, " must be finite");
  }
  template <std::integral T>
  void read(const toml::node& node, const std::string& key, T& field) const {
    if (!node.is_integer()) wrong(node, key, "an integer");
    const int64_t value = **node.as_integer();
    // -1 is how the fields themselves say "left open", and no setting is ever negative.
    if (value < 0 || !std::in_range<T>(value))
      usage("[", place(node), "] ", key, " must be between 0 and ",
            std::min<uint64_t>(std::numeric_limits<T>::max(), INT64_MAX), ", it is ", value);
    field = static_cast<T>(value);
  }
  template <class T>
  requires std::is_enum_v<T>
  void read(const toml::node& node, const std::string& key, T& field) const {
    std::string name, known;
    read(node, key, name);
    for (const auto& [text, value] : names_of(field)) {
      if (text == name) return void(field = value);
      known += cat(known.empty() ? "" : ", ", text);
    }
    usage("[", place(node), "] ", key, " is \"", name, "\"; it must be one of ", known);
  }
  void read(const toml::node& node, const std::string& key, std::vector<std::string>& field) const {
    if (node.is_string()) return void(field = {**node.as_string()});
    if (!node.is_array()) wrong(node, key, "a string or an array of strings");
    field.clear();
    for (const toml::node& item : *node.as_array()) read(item, key, field.emplace_back());
  }
  void read(const toml::node& node, const std::string& key, std::array<double, 2>& field) const {
    if (!node.is_array() || node.as_array()->size() != 2) wrong(node, key, "two numbers");
    for (size_t i = 0; i < 2; ++i) read((*node.as_array())[i], key, field[i]);
  }
  void read(const toml::node& node, const std::string& key, ModelSource& field) const {
    if (node.is_string())
      field.path = **node.as_string();
    else if (node.is_table())
      field.path.clear(), read(node, key, field.sizes);
    else
      wrong(node, key, "a path or a table of sizes");
  }
  void read(const toml::node& node, const std::string& key, Json& field) const {
    if (!node.is_table()) wrong(node, key, "a table");
    field = json_of(node, key);
  }
  template <HasFields T>
  void read(const toml::node& node, const std::string& key, T& field) const {
    if (!node.is_table()) wrong(node, key, "a table");
    Reader inner(*node.as_table(), where_, key + ".");
    T::visit_fields(field, inner);
    inner.finish();
  }

  Json json_of(const toml::node& node, const std::string& key) const {
    switch (node.type()) {
      case toml::node_type::table: {
        Json object = Json::object();
        for (const auto& [name, item] : *node.as_table())
          object.set(name.str(), json_of(item, key));
        return object;
      }
      case toml::node_type::array: {
        Json array = Json::array();
        for (const toml::node& item : *node.as_array()) array.push_back(json_of(item, key));
        return array;
      }
      case toml::node_type::string:
        return Json(**node.as_string());
      case toml::node_type::integer:
        return Json(**node.as_integer());
      case toml::node_type::floating_point:
        return Json(**node.as_floating_point());
      case toml::node_type::boolean:
        return Json(**node.as_boolean());
      default:
        wrong(node, key, "made of what JSON has");
    }
  }

  const toml::table& table_;
  std::string_view where_;
  std::string prefix_;
  std::set<std::string, std::less<>> asked_;
};

// Other spellings, {given, ours}: where train.json has these.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"max_grad_norm", "optimizer.max_grad_norm"},
    {"optimizer.name", "optimizer.kind"},
};

// The table that holds the last part of a dotted key; null where it does not exist and `make` is
// false. Parts that are not tables (a model path under "model.width") are replaced when `make`.
toml::table* table_of(toml::table& root, std::string_view& key, bool make) {
  toml::table* table = &root;
  for (size_t dot; (dot = key.find('.')) != key.npos; key.remove_prefix(dot + 1)) {
    const std::string_view part = key.substr(0, dot);
    if (!table->get_as<toml::table>(part)) {
      if (!make) return nullptr;
      table->insert_or_assign(part, toml::table());
    }
    table = table->get_as<toml::table>(part);
  }
  return table;
}

void apply_aliases(toml::table& root, std::string_view where) {
  for (auto [given, ours] : kAliases) {
    std::string_view from = given, to = ours;
    toml::table* source = table_of(root, from, false);
    if (!source || !source->contains(from)) continue;
    toml::table* target = table_of(root, to, true);
    if (target->contains(to)) usage("[", where, "] ", given, " and ", ours, " are the same key");
    source->get(from)->visit([&](auto& node) { target->insert_or_assign(to, std::move(node)); });
    source->erase(from);
  }
}

void apply_override(toml::table& root, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == text.npos)
    usage("[command line] \"", text, "\" is not of the form key=value");
  std::string key = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  for (auto [given, ours] : kAliases)
    if (key == given) key = ours;
  // What lies below model.config is not ours to know.
  const bool free = key.starts_with("model.config.");
  const auto known = Keys::all().find(key);
  if (known == Keys::all().end() && !free) unknown_key("command line", key);
  std::string_view last = key;
  toml::table* table = table_of(root, last, true);

  toml::table parsed;
  bool is_toml = true;
  try {
    parsed = toml::parse(cat("value = ", value));
  } catch (const toml::parse_error&) {
    is_toml = false;
  }
  const bool text_key = known != Keys::all().end() && known->second;
  const toml::node* node = is_toml ? parsed.get("value") : nullptr;
  if (!node || (text_key && !node->is_string() && !node->is_array() && !node->is_table()))
    return void(table->insert_or_assign(last, value));
  // Rebuilt rather than moved: what comes from here has no line in the file.
  node->visit([&](const auto& n) {
    if constexpr (toml::is_value<decltype(n)>)
      table->insert_or_assign(last, *n);
    else
      table->insert_or_assign(last, n);
  });
}

// Writes "key = value" lines: those of the root first, then a table after another.
class Writer {
 public:
  template <class T>
  void operator()(const char* key, const T& field) {
    if constexpr (HasFields<const T>) {
      table(key, field);
    } else if constexpr (std::is_same_v<T, ModelSource>) {
      if (field.path.empty())
        table(key, field.sizes);
      else
        operator()(key, field.path);
    } else if (is_written(field)) {
      lines_.emplace_back(prefix_ + key, text(field));
    }
  }
  const std::vector<std::pair<std::string, std::string>>& lines() const { return lines_; }

 private:
  template <class T>
  void table(const char* key, const T& field) {
    Writer inner;
    inner.prefix_ = prefix_ + key + ".";
    T::visit_fields(field, inner);
    lines_.insert(lines_.end(), inner.lines_.begin(), inner.lines_.end());
  }
  // What was left open stays open.
  static bool is_written(int64_t value) { return value >= 0; }
  static bool is_written(const Json& value) { return value.size() > 0; }
  template <class T>
  static bool is_written(const T&) {
    return true;
  }

  static std::string text(const std::string& s) {
    std::string quoted = "\"";
    for (const char ch : s) {
      const auto byte = static_cast<unsigned char>(ch);
      constexpr std::string_view kHex = "0123456789abcdef";
      if (ch == '"' || ch == '\\')
        quoted += {'\\', ch};
      else if (byte < 0x20 || byte == 0x7f)
        quoted += cat("\\u00", kHex[byte >> 4], kHex[byte & 15]);
      else
        quoted += ch;
    }
    return quoted + "\"";
  }
  template <class T>
  requires std::is_arithmetic_v<T>
  static std::string text(T value) { return cat(value); }
  template <class T>
  requires std::is_enum_v<T>
  static std::string text(T value) {
    for (const auto& [name, v] : names_of(value))
      if (v == value) return text(std::string(name));
    return {};
  }
  template <class List>
  static std::string list(const List& items) {
    std::string s;
    for (const auto& item : items) s += cat(s.empty() ? "" : ", ", text(item));
    return "[" + s + "]";
  }
  static std::string text(const std::vector<std::string>& items) { return list(items); }
  static std::string text(const std::array<double, 2>& items) { return list(items); }
  static std::string text(const Json& value) {
    switch (value.kind()) {
      case Json::Kind::boolean:
        return cat(value.as_bool());
      case Json::Kind::number:
        return value.number_text();
      case Json::Kind::string:
        return text(value.as_string());
      case Json::Kind::array:
        return list(value.items());
      default: {
        std::string s;
        for (const auto& [key, item] : value.members())
          s += cat(s.empty() ? "" : ", ", text(key), " = ", text(item));
        return "{" + s + "}";
      }
    }
  }

  std::string prefix_;
  std::vector<std::pair<std::string, std::string>> lines_;
};

std::vector<std::pair<std::string, std::string>> lines_of(const Recipe& recipe) {
  Writer writer;
  Recipe::visit_fields(recipe, writer);
  return writer.lines();
}

void check_recipe(const Recipe& r, std::string_view where) {
  const auto need = [&](bool ok, const auto&... message) {
    if (!ok) usage("[", where, "] ", message...);
  };
  need(!r.data.empty(), "data is missing: name the files, patterns or directories to learn from");
  need(!r.out.empty(), "out is missing: name the directory that checkpoints and logs go to");
  need(r.length >= 1 && r.batch >= 1 && r.accumulation >= 1 && r.steps >= 1 && r.log_every >= 1,
       "length, batch, accumulation, steps and log_every must be at least 1");
  need(r.adapter.alpha > 0, "adapter.alpha must be positive");
  need(r.adapter.rank > 0 || r.dtype == Format::f32 || r.dtype == Format::bf16,
       "dtype: weights in int8 or int4 stay as they are; give adapter.rank, and an adapter learns "
       "beside them");
  need(r.accumulation <= r.batch, "accumulation cuts a batch of ", r.batch,
       " sequences into parts; ", r.accumulation, " parts are too many");
  need(r.generator.layers >= 0 && r.generator.lambda > 0,
       "generator.layers must not be negative, generator.lambda must be more than 0");
  need(r.validation >= 0 && r.validation < 1, "validation is a share of the data, from 0 to 1");
  need(r.optimizer.lr >= 0 && r.optimizer.weight_decay >= 0 && r.optimizer.max_grad_norm >= 0 &&
           r.optimizer.expert_balance >= 0,
       "optimizer.lr, weight_decay, max_grad_norm and expert_balance must not be negative");
  need(r.mask_copies >= 0, "mask_copies must be 0 or more");
  need(r.sentences == Sentences::one || r.objective == DataObjective::masked,
       "sentences are asked about with objective = \"masked\" alone");
  need(r.optimizer.eps > 0, "optimizer.eps must be more than 0");
  for (double beta : r.optimizer.betas)
    need(beta >= 0 && beta < 1, "optimizer.betas must lie in [0, 1), one is ", beta);
  const ModelSizes& m = r.model.sizes;
  need(!r.model.path.empty() || (m.width >= 1 && m.layers >= 1 && m.heads >= 1),
       "model.width, layers and heads must be at least 1");
  r.complete_schedule().check_valid();
}

}  // namespace

int64_t Recipe::target() const {
  if (objective == DataObjective::span_corruption) return lengths_for(length, spans()).target;
  return objective == DataObjective::seq2seq && target_length > 0 ? target_length : length;
}

double Recipe::labelled() const {
  const bool some = objective == DataObjective::masked || objective == DataObjective::permutation ||
                    objective == DataObjective::replaced;
  return some ? mask_rate : 1;
}

Schedule Recipe::complete_schedule() const {
  Schedule s;
  s.kind = schedule.kind;
  s.warmup = schedule.warmup >= 0 ? schedule.warmup : std::min<int64_t>(100, steps / 10);
  s.total = schedule.total >= 0 ? schedule.total : steps;
  s.decay_start =
      schedule.decay_start >= 0 ? schedule.decay_start : std::max(s.warmup, s.total - s.total / 5);
  return s;
}

Recipe read_recipe(const fs::path& path, std::span<const std::string> overrides) {
  return parse_recipe(read_file(path, kMaxBytes), path.string(), overrides);
}

Recipe parse_recipe(std::string_view toml, std::string_view where,
                    std::span<const std::string> overrides) {
  toml::table root;
  try {
    root = toml::parse(toml, where);
  } catch (const toml::parse_error& error) {
    usage("[", where, ":", error.source().begin.line, ":", error.source().begin.column, "] ",
          error.description());
  }
  apply_aliases(root, where);
  for (const std::string& text : overrides) apply_override(root, text);
  Recipe recipe;
  Reader reader(root, where, "");
  Recipe::visit_fields(recipe, reader);
  reader.finish();
  check_recipe(recipe, where);
  return recipe;
}

std::string recipe_text(const Recipe& recipe) {
  // Dotted keys would do, but tables are what people write.
  std::map<std::string, std::string> tables;
  std::string text;
  for (const auto& [key, value] : lines_of(recipe)) {
    const size_t dot = key.find('.');
    if (dot == key.npos)
      text += cat(key, " = ", value, "\n");
    else
      tables[key.substr(0, dot)] += cat(key.substr(dot + 1), " = ", value, "\n");
  }
  for (const auto& [name, lines] : tables) text += cat("\n[", name, "]\n", lines);
  return text;
}

std::vector<std::string> conflicts(const Recipe& a, const Recipe& b) {
  // Data may move: the fingerprint of its tokens is what has to stay.
  constexpr std::string_view kMayChange[] = {
      "steps",     "eval_every", "eval_sequences", "out",  "save_every",
      "log_every", "threads",    "accumulation",   "data", "rematerialise"};
  const auto deciding = [&](const Recipe& recipe) {
    std::map<std::string, std::string> lines;
    for (const auto& [key, value] : lines_of(recipe))
      if (!key.starts_with("optimizer.") && !key.starts_with("schedule.") &&
          std::find(std::begin(kMayChange), std::end(kMayChange), key) == std::end(kMayChange))
        lines[key] = value;
    return lines;
  };
  const auto left = deciding(a), right = deciding(b);
  std::set<std::string> keys;
  const auto missing_in = [&](const auto& here, const auto& there) {
    for (const auto& [key, value] : here)
      if (auto it = there.find(key); it == there.end() || it->second != value) keys.insert(key);
  };
  missing_in(left, right);
  missing_in(right, left);
  return {keys.begin(), keys.end()};
}

}  // namespace stemma
