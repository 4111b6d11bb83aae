// Which files of a published model Stemma reads.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "hub/download.h"

namespace stemma {
namespace {

constexpr std::string_view kWeights = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

bool is_weights(std::string_view file) { return file.ends_with(".safetensors"); }

std::string_view folder_of(std::string_view file) {
  const size_t slash = file.rfind('/');
  return slash == file.npos ? "" : file.substr(0, slash);
}

// "1_Pooling", "2_Dense": a module of a sentence-transformers model.
bool is_module(std::string_view folder) {
  const size_t digits = folder.find_first_not_of("0123456789");
  return digits > 0 && digits < folder.size() && folder[digits] == '_' &&
         folder.find('/') == folder.npos;
}

// Configuration, tokenizer and templates.
bool is_description(std::string_view file) {
  for (const std::string_view other : {"pytorch_model.bin.index.json", "tf_model.h5.index.json",
                                       "trainer_state.json", "flax_model.msgpack.index.json"})
    if (file.ends_with(other)) return false;
  if (file.ends_with(".txt"))
    return file.find("vocab") != file.npos || file.find("merges") != file.npos;
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{".json", ".jinja", ".model", ".tiktoken"},
      [&](std::string_view ending) { return file.ends_with(ending); });
}

}  // namespace

std::vector<std::string> needed_files(const std::vector<std::string>& files) {
  const auto has = [&](std::string_view file) { return std::ranges::count(files, file) > 0; };
  const bool whole = has(kWeights), sharded = !whole && has(kIndex);
  std::vector<std::string> needed;
  for (const std::string& file : files) {
    const std::string_view folder = folder_of(file);
    const bool ours = folder.empty() || is_module(folder) || folder == "additional_chat_templates";
    if (!ours) continue;
    if (!is_weights(file)) {
      if (is_description(file) && !(whole && file == kIndex)) needed.push_back(file);
    } else if (!folder.empty() || (whole ? file == kWeights
                                         : !sharded || (file.starts_with("model-") &&
                                                        file.find("-of-") != file.npos))) {
      needed.push_back(file);
    }
  }
  const auto order = [](const std::string& file) {
    return !is_weights(file) ? 0 : file.find('/') != file.npos ? 1 : 2;
  };
  std::ranges::sort(needed, {},
                    [&](const std::string& file) { return std::pair(order(file), file); });
  const auto pickled = [](const std::string& file) {
    return file.ends_with(".bin") || file.ends_with(".pt") || file.ends_with(".h5") ||
           file.ends_with(".msgpack");
  };
  if (std::ranges::none_of(needed, is_weights) && std::ranges::any_of(files, pickled))
    fail(Code::kUnsupported, "[hub] the model is published without safetensors files (only ",
         *std::ranges::find_if(files, pickled),
         "), which are all that Stemma reads: another revision, such as refs/pr/1, may have them");
  return needed;
}

}  // namespace stemma
