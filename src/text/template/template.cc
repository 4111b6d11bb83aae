#include "text/template/template.h"

#include "text/template/interpreter.h"
#include "text/utf8.h"

namespace stemma {

struct Template::Impl {
  std::string source, where;
  jinja::Body body;
};

Template::Template(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Template Template::parse(std::string_view source, std::string_view where) {
  auto impl = std::make_unique<Impl>();
  impl->source = source;
  impl->where = where;
  impl->body = jinja::parse(source, where);
  return Template(std::move(impl));
}

const std::string& Template::source() const { return impl_->source; }

std::string Template::literal_text() const {
  std::string text;
  for (const jinja::Token& token : jinja::tokenize(impl_->source, impl_->where))
    if (token.kind == jinja::Token::Kind::data || token.kind == jinja::Token::Kind::string)
      text += jinja::encode(token.text) + '\0';
  return text;
}

Rendered Template::render(const std::vector<TemplateVariable>& variables,
                          const TemplateLimits& limits, std::optional<std::time_t> now) const {
  jinja::Runtime runtime(limits.steps, limits.characters, now.value_or(std::time(nullptr)));
  jinja::Text text;
  try {
    std::vector<std::pair<std::string, jinja::Value>> values;
    for (const TemplateVariable& variable : variables)
      values.emplace_back(
          variable.name, jinja::Value::from_json(runtime.budget(), variable.value, variable.input));
    text = runtime.render(impl_->body, std::move(values));
  } catch (const jinja::Failure& failure) {
    jinja::fail_at(impl_->where, runtime.position(), failure.message);
  }
  Rendered rendered;
  bool inside = false;
  for (char32_t c : text) {
    const bool input = (c & jinja::kInput) != 0;
    if (input && !inside) rendered.input.push_back({rendered.text.size(), 0});
    if (!input && inside) rendered.input.back().end = rendered.text.size();
    inside = input;
    utf8::append(rendered.text, jinja::plain(c));
  }
  if (inside) rendered.input.back().end = rendered.text.size();
  for (const jinja::Span& span : runtime.generation())
    rendered.generation.push_back({span.begin, span.end});
  return rendered;
}

}  // namespace stemma
