// libFuzzer target: a template is parsed and rendered against one conversation. It must end with a
// rendering or a stemma::Error, within its limits.
//   cmake -B build/fuzz -DSTEMMA_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ && build/fuzz/template_fuzz
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "text/template/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stemma;
  static const std::vector<TemplateVariable> variables = {
      {"messages", Json::parse(R"([{"role": "user", "content": "a <b> \u00e9"},
                                   {"role": "assistant", "content": [{"type": "text", "text": ""}],
                                    "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}])")},
      {"tools", Json::parse(R"([{"type": "function", "function": {"name": "f"}}])")},
      {"add_generation_prompt", true},
      {"bos_token", Json("<s>"), false}};
  TemplateLimits limits;
  limits.steps = 100000;
  limits.characters = 1 << 20;
  try {
    Template::parse({reinterpret_cast<const char*>(data), size}).render(variables, limits);
  } catch (const Error&) {
  }
  return 0;
}
