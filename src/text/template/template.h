// A chat template: Jinja source, parsed once, rendered with the variables of a conversation.
// The language is that of jinja2 3.1 as transformers sets it up (ImmutableSandboxedEnvironment with
// trim_blocks, lstrip_blocks, loop controls, {% generation %}, tojson as json.dumps,
// raise_exception, strftime_now); renderings are equal to the last character. Templates are
// untrusted: their size, nesting, steps and output have limits. What is not supported says so.
// Errors: stemma::Error, [where:line:column] reason; Code::kUnsupported for include, import and
// their kin. Thread safety: a const Template may be rendered from many threads.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace stemma {

struct TemplateVariable {
  std::string name;
  Json value;
  // Whether its strings come from outside (messages, tools) rather than from the model's own files
  // (the text of special tokens): Rendered::input tells them apart.
  bool input = true;
};

struct TemplateLimits {
  uint64_t steps = 50'000'000;  // about one for each operation or eight characters made
  uint64_t characters = uint64_t{1} << 26;
};

struct TextRange {
  size_t begin = 0, end = 0;
  bool operator==(const TextRange&) const = default;
};

struct Rendered {
  std::string text;
  // What stood in {% generation %} blocks, in code points.
  std::vector<TextRange> generation;
  // What came out of input variables, in bytes of text, in order.
  std::vector<TextRange> input;
};

class Template {
 public:
  static Template parse(std::string_view source, std::string_view where = "template");
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // `now` is what strftime_now tells; none: the clock.
  Rendered render(const std::vector<TemplateVariable>& variables, const TemplateLimits& limits = {},
                  std::optional<std::time_t> now = {}) const;

  const std::string& source() const;
  // The template's own text and string constants, joined by NUL characters.
  std::string literal_text() const;

 private:
  struct Impl;
  explicit Template(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stemma
