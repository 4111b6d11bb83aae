// Loading from a model directory: tokenizer.json as it is; otherwise older files, out of which a
// tokenizer.json is made (older/).
#include "base/error.h"
#include "base/file.h"
#include "text/older/directory.h"
#include "text/tokenizer_impl.h"

namespace stemma {

namespace fs = std::filesystem;

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored))
    fail(Code::kNotFound, "[", directory.string(), "] is no directory with a tokenizer");
  const older::Directory files(directory);
  older::OlderTokenizer older;
  const bool whole = files.has("tokenizer.json");
  if (!whole) older = older::read(files);
  const std::string where = whole ? files.where("tokenizer.json") : directory.string();
  auto impl = whole ? std::make_unique<Impl>(read_file(where), where)
                    : std::make_unique<Impl>(std::move(older.file), where);
  const older::Defaults& defaults = older.defaults;
  if (!whole) impl->padding.side = defaults.padding_side;
  impl->read_config(files.tokenizer_config);
  impl->read_roles(files.special_tokens_map);
  Json roles = Json::object();
  for (const auto name : older::kRoles)
    if (!defaults.role(name).empty()) roles.set(name, defaults.role(name));
  impl->read_roles(roles);

  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"})
    if (files.has(name)) impl->files.push_back({name, read_file(directory / name)});
  return Tokenizer(std::move(impl));
}

}  // namespace stemma
